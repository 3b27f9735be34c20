// Package redis stores the metadata of a volume in a Redis server, version 4 or newer.
//
// Reads that a transaction names in advance are one round trip and one moment. A change is one round trip
// too: a script on the server compares what the transaction has read with what is stored and, when nothing
// has changed, applies all of its writes. Attributes and entries that the engine has seen are remembered as
// hints, so a change usually needs no read at all; the script proves them, so a stale hint costs time and
// never correctness.
//
// There is no WATCH and no connection of a transaction's own. Other clients that use WATCH on the keys of
// the volume format see the changes of this engine, because the script writes exactly those keys.
package redis
