// Package sql keeps the metadata of a volume in a relational database: one table per kind of record.
//
// One dialect value says how a database differs from the others. An Engine is one of SQLite: it reads on a pool of
// connections, each View in one snapshot, and writes on a single connection of one goroutine that commits the
// transactions that are waiting as a group.
//
// A Remote is an engine on a PostgreSQL, MySQL or MariaDB server, where round trips count: a change takes two, and a
// View of what it names takes one. Its transactions run at READ COMMITTED, on MySQL too, where the official client uses
// REPEATABLE READ: every read that is a promise locks its row in the statement that reads it, so that a snapshot
// would only make the other reads older, and its gap locks would let parallel creates in one directory wait for each
// other. What a transaction relies on without a lock is compared by the statements that commit it.
package sql
