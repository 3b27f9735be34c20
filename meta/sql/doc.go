// Package sql keeps the metadata of a volume in a relational database: one table per kind of record.
//
// One dialect value says how a database differs from the others; SQLite is the one that is there. An engine
// of SQLite reads on a pool of connections, each View in one snapshot, and writes on a single connection of
// one goroutine that commits the transactions that are waiting as a group.
package sql
