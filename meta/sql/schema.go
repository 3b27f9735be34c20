package sql

import "strings"

type column struct {
	name string
	kind kind
	size int // of kindVar
	null bool
	zero bool // DEFAULT 0
	key  bool // member of the primary key
}

// index is a unique index when it has a name of its own, else the plain index of its one column.
type index struct {
	name string
	cols []string
}

type table struct {
	name    string // without the prefix
	cols    []column
	indexes []index
}

func unique(name string, cols ...string) []index { return []index{{name: name, cols: cols}} }
func plain(col string) []index                   { return []index{{cols: []string{col}}} }

func rowID(k kind) column                  { return column{name: "id", kind: k, key: true} }
func key(name string, k kind) column       { return column{name: name, kind: k, key: true} }
func col(name string, k kind) column       { return column{name: name, kind: k} }
func bytesCol(name string, max int) column { return column{name: name, kind: kindVar, size: max} }
func nullable(name string, k kind) column  { return column{name: name, kind: k, null: true} }
func nsec(name string) column              { return column{name: name, kind: kindI32, zero: true} }

// schema lists the tables of the format in the order in which they are created. An official client compares
// its own with them at every session start; names and types have to be these.
func schema() []table {
	return []table{
		{name: "setting", cols: []column{key("name", kindStr), col("value", kindText)}},
		{name: "counter", cols: []column{key("name", kindStr), col("value", kindI64)}},
		{name: "node", cols: []column{
			key("inode", kindI64), col("type", kindI32), col("flags", kindI32), col("mode", kindI32),
			col("uid", kindI32), col("gid", kindI32),
			col("atime", kindI64), col("mtime", kindI64), col("ctime", kindI64),
			nsec("atimensec"), nsec("mtimensec"), nsec("ctimensec"),
			col("nlink", kindI32), col("length", kindI64), nullable("rdev", kindI32), nullable("parent", kindI64),
			nullable("access_acl_id", kindI32), nullable("default_acl_id", kindI32), nullable("tier_id", kindI32),
		}},
		{name: "edge", cols: []column{
			rowID(kindID64), col("parent", kindI64), bytesCol("name", 255), col("inode", kindI64), col("type", kindI32),
		}, indexes: append(unique("edge", "parent", "name"), plain("inode")...)},
		{name: "symlink", cols: []column{key("inode", kindI64), bytesCol("target", 4096)}},
		{name: "xattr", cols: []column{
			rowID(kindID64), col("inode", kindI64), col("name", kindStr), col("value", kindBlob),
		}, indexes: unique("name", "inode", "name")},
		{name: "chunk", cols: []column{
			rowID(kindID64), col("inode", kindI64), col("indx", kindI32), col("slices", kindBlob),
		}, indexes: unique("chunk", "inode", "indx")},
		{name: "chunk_ref", cols: []column{key("chunkid", kindI64), col("size", kindI32), col("refs", kindI32)}, indexes: plain("refs")},
		{name: "delslices", cols: []column{key("chunkid", kindI64), col("deleted", kindI64), col("slices", kindBlob)}},
		{name: "session2", cols: []column{key("sid", kindI64), col("expire", kindI64), nullable("info", kindBlob)}},
		{name: "sustained", cols: []column{rowID(kindID64), col("sid", kindI64), col("inode", kindI64)}, indexes: unique("sustained", "sid", "inode")},
		{name: "delfile", cols: []column{key("inode", kindI64), col("length", kindI64), col("expire", kindI64)}},
		{name: "flock", cols: []column{
			rowID(kindID64), col("inode", kindI64), col("sid", kindI64), col("owner", kindI64), col("ltype", kindI32),
		}, indexes: unique("flock", "inode", "sid", "owner")},
		{name: "plock", cols: []column{
			rowID(kindID64), col("inode", kindI64), col("sid", kindI64), col("owner", kindI64), col("records", kindBlob),
		}, indexes: unique("plock", "inode", "sid", "owner")},
		{name: "dir_stats", cols: []column{key("inode", kindI64), col("data_length", kindI64), col("used_space", kindI64), col("used_inodes", kindI64)}},
		{name: "dir_quota", cols: append([]column{key("inode", kindI64)}, quotaCols()...)},
		{name: "user_group_quota", cols: append([]column{key("qtype", kindI32), key("qkey", kindI64)}, quotaCols()...)},
		{name: "detached_node", cols: []column{key("inode", kindI64), col("added", kindI64)}},
		{name: "acl", cols: []column{
			rowID(kindID32), nullable("owner", kindI32), nullable("group", kindI32), nullable("mask", kindI32), nullable("other", kindI32),
			nullable("named_users", kindBlob), nullable("named_groups", kindBlob),
		}},
		{name: "delegation_token", cols: []column{rowID(kindID32), nullable("token", kindBlob)}},
		{name: "change_log", cols: []column{rowID(kindID64), col("entry", kindText)}},
	}
}

func quotaCols() []column {
	return []column{col("max_space", kindI64), col("max_inodes", kindI64), col("used_space", kindI64), col("used_inodes", kindI64)}
}

// create gives the statement that creates t if it is not there.
func (t *table) create(d *dialect, prefix string) string {
	var keys []string
	for _, c := range t.cols {
		if c.key {
			keys = append(keys, d.quote(c.name))
		}
	}
	defs := make([]string, 0, len(t.cols)+1)
	for _, c := range t.cols {
		def := c.define(d)
		if c.key && len(keys) == 1 && !c.numbered() {
			def = d.quote(c.name) + " " + d.types(c.kind, c.size) + " PRIMARY KEY NOT NULL"
		}
		defs = append(defs, def)
	}
	if len(keys) > 1 {
		defs = append(defs, "PRIMARY KEY ("+strings.Join(keys, ", ")+")")
	}
	tail := ""
	if s := d.server; s != nil {
		tail = s.tableTail
		for _, ix := range t.indexes {
			if s.inline {
				what, name, cols := t.indexParts(d, prefix, ix)
				defs = append(defs, what+" "+d.quote(name)+" ("+cols+")")
			}
		}
	}
	return "CREATE TABLE IF NOT EXISTS " + d.quote(prefix+t.name) + " (" + strings.Join(defs, ", ") + ")" + tail
}

// addColumn gives the statement that adds a column of a later version to an older table.
func (t *table) addColumn(d *dialect, prefix string, c column) string {
	if !c.null && (c.kind == kindI64 || c.kind == kindI32) {
		c.zero = true // existing rows need a value
	}
	return "ALTER TABLE " + d.quote(prefix+t.name) + " ADD COLUMN " + c.define(d)
}

// createIndex gives the statement that creates one of t's indexes if it is not there.
func (t *table) createIndex(d *dialect, prefix string, ix index) string {
	what, name, cols := t.indexParts(d, prefix, ix)
	check := "IF NOT EXISTS "
	if d.server != nil && d.server.inline {
		check = "" // MySQL has none
	}
	return "CREATE " + what + " " + check + d.quote(name) + " ON " + d.quote(prefix+t.name) + " (" + cols + ")"
}

// indexParts gives the kind, the name and the columns of an index.
func (t *table) indexParts(d *dialect, prefix string, ix index) (what, name, cols string) {
	what, name = "INDEX", "IDX_"+prefix+t.name+"_"+ix.cols[0]
	if ix.name != "" {
		what, name = "UNIQUE INDEX", "UQE_"+prefix+t.name+"_"+ix.name
	}
	quoted := make([]string, len(ix.cols))
	for i, c := range ix.cols {
		quoted[i] = d.quote(c)
	}
	return what, name, strings.Join(quoted, ", ")
}

// numbered says that the type of c makes it a primary key already.
func (c column) numbered() bool { return c.kind == kindID64 || c.kind == kindID32 }

func (c column) define(d *dialect) string {
	def := d.quote(c.name) + " " + d.types(c.kind, c.size)
	if c.zero {
		def += " DEFAULT 0"
	}
	if c.null {
		return def + " NULL"
	}
	return def + " NOT NULL"
}
