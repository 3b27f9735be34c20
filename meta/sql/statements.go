package sql

import (
	"regexp"
	"strings"
)

var tableMark = regexp.MustCompile(`@[a-z_0-9]+`)

// stmt numbers the statements that an engine prepares once per connection.
type stmt int

const (
	qSetting stmt = iota
	qSetSetting
	qCounter
	qSetCounter
	qNewCounter
	qSumCounter
	qCounters
	qUsage
	qAddCounter
	qNode
	qNewNode
	qDropNode
	qTouch
	qEntry
	qEntryNode
	qNodeOf
	qNewEntry
	qMoveEntry
	qSetEntry
	qDropEntry
	qAnyEntry
	qEntries
	qEntriesPlus
	qParents
	qSymlink
	qSetSymlink
	qDropSymlink
	qXattr
	qXattrs
	qSetXattr
	qNewXattr
	qDropXattr
	qDropXattrs
	qChunk
	qChunks
	qAppend
	qReplace
	qDropChunk
	qRefs
	qNewRef
	qAddRef
	qDropRef
	qDeadSlices
	qDelFiles
	qSetDelFile
	qDropDelFile
	qDirStat
	qAddDirStat
	qSetDirStat
	qDropDirStat
	qQuotaDir
	qQuotasDir
	qSetQuotaDir
	qDropQuotaDir
	qAddQuotaDir
	qQuotaOwner
	qQuotasOwner
	qSetQuotaOwner
	qDropQuotaOwner
	qAddQuotaOwner
	qACL
	qACLs
	qNewACL
	qDelayed
	qSetDelayed
	qHasDelayed
	qDropDelayed
	qDetached
	qSetDetached
	qDropDetached
	qFlocks
	qSetFlock
	qDropFlock
	qPlocks
	qSetPlocks
	qDropPlock
	qScanChunks
	qScanNodes
	qSession
	qSessions
	qSetSession
	qDropSession
	qDropFlocks
	qDropPlocks
	qSustained
	qLocked
	qSetSustained
	qDropSustained
	qHasTable
	qReadSequence
	qSetSequence
	qBeginRead
	qBeginWrite
	qCommit
	qRollback
	numStmts
)

// statement is one of them: a name for errors and the text for the database.
type statement struct{ name, text string }

// statements gives the texts for tables with a prefix.
func statements(d *dialect, prefix string) *[numStmts]statement {
	ex := d.excluded
	node := strings.Join(nodeCols[:], ", ")
	nodeOf := "n." + strings.Join(nodeCols[:], ", n.")
	const quota = "max_space, max_inodes, used_space, used_inodes"
	acl := "owner, " + d.quote("group") + ", mask, other, named_users, named_groups"
	all := [numStmts]statement{
		qSetting:    {"read setting", "SELECT value FROM @setting WHERE name = 'format'"},
		qSetSetting: {"write setting", d.upsert("@setting", "name", "name, value", "value = "+ex("value"))},

		qCounter:    {"read counter", "SELECT value FROM @counter WHERE name = ?"},
		qSetCounter: {"write counter", d.upsert("@counter", "name", "name, value", "value = "+ex("value"))},
		qNewCounter: {"insert counter", "INSERT INTO @counter (name, value) VALUES (?, ?)"},
		qSumCounter: {"add to counter", d.upsert("@counter", "name", "name, value", "value = @counter.value + "+ex("value"))},
		qCounters:   {"count counters", "SELECT count(*) FROM @counter"},
		qUsage:      {"read usage", "SELECT name, value FROM @counter WHERE name IN ('usedSpace', 'totalInodes')"},
		qAddCounter: {"add to counter", "UPDATE @counter SET value = value + ? WHERE name = ?"},

		qNode:     {"read inode", "SELECT " + node + " FROM @node WHERE inode = ?"},
		qNewNode:  {"insert inode", "INSERT INTO @node (inode, " + node + ") VALUES " + placeholders(numNodeCols+1)},
		qDropNode: {"delete inode", "DELETE FROM @node WHERE inode = ?"},
		qTouch:    {"touch directory", "UPDATE @node SET nlink = nlink + ?, mtime = ?, mtimensec = ?, ctime = ?, ctimensec = ? WHERE inode = ?"},

		qEntry: {"read entry", "SELECT inode, type FROM @edge WHERE parent = ? AND name = ?"},
		qEntryNode: {"read entry and inode", "SELECT e.inode, e.type, n.inode, " + nodeOf +
			" FROM @edge e LEFT JOIN @node n ON n.inode = e.inode WHERE e.parent = ? AND e.name = ?"},
		qNodeOf:    {"read inode of entry", "SELECT inode, " + node + " FROM @node WHERE inode = (SELECT inode FROM @edge WHERE parent = ? AND name = ?)"},
		qNewEntry:  {"insert entry", "INSERT INTO @edge (parent, name, inode, type) VALUES (?, ?, ?, ?)"},
		qMoveEntry: {"change entry", "UPDATE @edge SET inode = ?, type = ? WHERE parent = ? AND name = ?"},
		qSetEntry: {"write entry", d.upsert("@edge", "parent, name", "parent, name, inode, type",
			"inode = "+ex("inode")+", type = "+ex("type"))},
		qDropEntry: {"delete entry", "DELETE FROM @edge WHERE parent = ? AND name = ?"},
		qAnyEntry:  {"look for an entry", "SELECT 1 FROM @edge WHERE parent = ? LIMIT 1"},
		qEntries:   {"list entries", "SELECT name, inode, type FROM @edge WHERE parent = ? AND name > ? ORDER BY name LIMIT ?"},
		qEntriesPlus: {"list entries and inodes", "SELECT e.name, e.inode, e.type, n.inode, " + nodeOf +
			" FROM @edge e LEFT JOIN @node n ON n.inode = e.inode WHERE e.parent = ? AND e.name > ? ORDER BY e.name LIMIT ?"},
		qParents: {"read parents", "SELECT parent, count(*) FROM @edge WHERE inode = ? GROUP BY parent"},

		qSymlink:     {"read symlink", "SELECT target FROM @symlink WHERE inode = ?"},
		qSetSymlink:  {"write symlink", d.upsert("@symlink", "inode", "inode, target", "target = "+ex("target"))},
		qDropSymlink: {"delete symlink", "DELETE FROM @symlink WHERE inode = ?"},

		qXattr:      {"read xattr", "SELECT value FROM @xattr WHERE inode = ? AND name = ?"},
		qXattrs:     {"list xattrs", "SELECT name FROM @xattr WHERE inode = ? ORDER BY name"},
		qSetXattr:   {"write xattr", d.upsert("@xattr", "inode, name", "inode, name, value", "value = "+ex("value"))},
		qNewXattr:   {"insert xattr", "INSERT INTO @xattr (inode, name, value) VALUES (?, ?, ?)"},
		qDropXattr:  {"delete xattr", "DELETE FROM @xattr WHERE inode = ? AND name = ?"},
		qDropXattrs: {"delete xattrs", "DELETE FROM @xattr WHERE inode = ?"},

		qChunk:  {"read chunk", "SELECT slices FROM @chunk WHERE inode = ? AND indx = ?"},
		qChunks: {"list chunks", "SELECT indx FROM @chunk WHERE inode = ? ORDER BY indx"},
		qAppend: {"append to chunk", d.upsert("@chunk", "inode, indx", "inode, indx, slices",
			"slices = "+d.concat("@chunk.slices", ex("slices")))},
		qReplace: {"replace slices", "UPDATE @chunk SET slices = " + d.concat("?", d.tail("slices", "?")) +
			" WHERE inode = ? AND indx = ?"},
		qDropChunk: {"delete chunk", "DELETE FROM @chunk WHERE inode = ? AND indx = ?"},

		qRefs:       {"read references", "SELECT refs FROM @chunk_ref WHERE chunkid = ? AND size = ?"},
		qNewRef:     {"insert reference", "INSERT INTO @chunk_ref (chunkid, size, refs) VALUES (?, ?, 1)"},
		qAddRef:     {"change references", "UPDATE @chunk_ref SET refs = refs + ? WHERE chunkid = ? AND size = ?"},
		qDropRef:    {"delete reference", "DELETE FROM @chunk_ref WHERE chunkid = ? AND size = ?"},
		qDeadSlices: {"list dead slices", "SELECT chunkid, size FROM @chunk_ref WHERE refs <= 0 LIMIT ?"},

		qDelFiles: {"list deleted files", "SELECT inode, length, expire FROM @delfile WHERE expire <= ? LIMIT ?"},
		qSetDelFile: {"write deleted file", d.upsert("@delfile", "inode", "inode, length, expire",
			"length = "+ex("length")+", expire = "+ex("expire"))},
		qDropDelFile: {"delete deleted file", "DELETE FROM @delfile WHERE inode = ?"},

		qDirStat: {"read directory usage", "SELECT data_length, used_space, used_inodes FROM @dir_stats WHERE inode = ?"},
		qAddDirStat: {"add directory usage", "UPDATE @dir_stats SET data_length = data_length + ?, used_space = used_space + ?," +
			" used_inodes = used_inodes + ? WHERE inode = ?"},
		qSetDirStat: {"write directory usage", d.upsert("@dir_stats", "inode", "inode, data_length, used_space, used_inodes",
			"data_length = "+ex("data_length")+", used_space = "+ex("used_space")+", used_inodes = "+ex("used_inodes"))},
		qDropDirStat: {"delete directory usage", "DELETE FROM @dir_stats WHERE inode = ?"},

		qQuotaDir:  {"read directory quota", "SELECT " + quota + " FROM @dir_quota WHERE inode = ?"},
		qQuotasDir: {"list directory quotas", "SELECT inode, " + quota + " FROM @dir_quota"},
		qSetQuotaDir: {"write directory quota", d.upsert("@dir_quota", "inode", "inode, "+quota,
			"max_space = "+ex("max_space")+", max_inodes = "+ex("max_inodes")+
				", used_space = "+ex("used_space")+", used_inodes = "+ex("used_inodes"))},
		qDropQuotaDir: {"delete directory quota", "DELETE FROM @dir_quota WHERE inode = ?"},
		qAddQuotaDir: {"add usage of directory quota", "UPDATE @dir_quota SET used_space = used_space + ?, used_inodes = used_inodes + ?" +
			" WHERE inode = ?"},
		qQuotaOwner:  {"read quota", "SELECT " + quota + " FROM @user_group_quota WHERE qtype = ? AND qkey = ?"},
		qQuotasOwner: {"list quotas", "SELECT qtype, qkey, " + quota + " FROM @user_group_quota"},
		qSetQuotaOwner: {"write quota", d.upsert("@user_group_quota", "qtype, qkey", "qtype, qkey, "+quota,
			"max_space = "+ex("max_space")+", max_inodes = "+ex("max_inodes")+
				", used_space = "+ex("used_space")+", used_inodes = "+ex("used_inodes"))},
		qDropQuotaOwner: {"delete quota", "DELETE FROM @user_group_quota WHERE qtype = ? AND qkey = ?"},
		qAddQuotaOwner: {"add usage of quota", d.upsert("@user_group_quota", "qtype, qkey", "qtype, qkey, "+quota,
			"used_space = @user_group_quota.used_space + "+ex("used_space")+
				", used_inodes = @user_group_quota.used_inodes + "+ex("used_inodes"))},

		qACL:    {"read ACL", "SELECT " + acl + " FROM @acl WHERE id = ?"},
		qACLs:   {"list ACLs", "SELECT id, " + acl + " FROM @acl"},
		qNewACL: {"insert ACL", "INSERT INTO @acl (id, " + acl + ") VALUES " + placeholders(7)},

		qDelayed: {"list replaced slices", "SELECT chunkid, deleted, slices FROM @delslices WHERE deleted < ? LIMIT ?"},
		qSetDelayed: {"write replaced slices", d.upsert("@delslices", "chunkid", "chunkid, deleted, slices",
			"deleted = "+ex("deleted")+", slices = "+ex("slices"))},
		qHasDelayed:   {"look for replaced slices", "SELECT chunkid FROM @delslices WHERE chunkid = ? AND deleted = ?"},
		qDropDelayed:  {"delete replaced slices", "DELETE FROM @delslices WHERE chunkid = ? AND deleted = ?"},
		qDetached:     {"list detached inodes", "SELECT inode FROM @detached_node WHERE added <= ? LIMIT ?"},
		qSetDetached:  {"write detached inode", d.upsert("@detached_node", "inode", "inode, added", "added = "+ex("added"))},
		qDropDetached: {"delete detached inode", "DELETE FROM @detached_node WHERE inode = ?"},

		qFlocks:    {"read locks", "SELECT sid, owner, ltype FROM @flock WHERE inode = ?"},
		qSetFlock:  {"write lock", d.upsert("@flock", "inode, sid, owner", "inode, sid, owner, ltype", "ltype = "+ex("ltype"))},
		qDropFlock: {"delete lock", "DELETE FROM @flock WHERE inode = ? AND sid = ? AND owner = ?"},
		qPlocks:    {"read locks", "SELECT sid, owner, records FROM @plock WHERE inode = ?"},
		qSetPlocks: {"write locks", d.upsert("@plock", "inode, sid, owner", "inode, sid, owner, records", "records = "+ex("records"))},
		qDropPlock: {"delete locks", "DELETE FROM @plock WHERE inode = ? AND sid = ? AND owner = ?"},

		qScanChunks: {"list all chunks", "SELECT id, inode, indx, slices FROM @chunk WHERE id >= ? ORDER BY id LIMIT ?"},
		qScanNodes:  {"list all inodes", "SELECT inode, " + node + " FROM @node WHERE inode >= ? ORDER BY inode LIMIT ?"},

		qSession:  {"read session", "SELECT expire, info FROM @session2 WHERE sid = ?"},
		qSessions: {"list sessions", "SELECT sid, expire, info FROM @session2 ORDER BY sid"},
		qSetSession: {"write session", d.upsert("@session2", "sid", "sid, expire, info",
			"expire = "+ex("expire")+", info = COALESCE("+ex("info")+", @session2.info)")},
		qDropSession: {"delete session", "DELETE FROM @session2 WHERE sid = ?"},
		qDropFlocks:  {"delete locks of session", "DELETE FROM @flock WHERE sid = ?"},
		qDropPlocks:  {"delete locks of session", "DELETE FROM @plock WHERE sid = ?"},
		qLocked:      {"list locked inodes", "SELECT inode FROM @flock WHERE sid = ? UNION SELECT inode FROM @plock WHERE sid = ? ORDER BY inode"},
		qSustained:   {"list sustained inodes", "SELECT inode FROM @sustained WHERE sid = ? ORDER BY inode"},
		// The assignment changes nothing: the row is a set's member.
		qSetSustained:  {"write sustained inode", d.upsert("@sustained", "sid, inode", "sid, inode", "inode = "+ex("inode"))},
		qDropSustained: {"delete sustained inode", "DELETE FROM @sustained WHERE sid = ? AND inode = ?"},

		qHasTable:     {"look for a table", d.hasTable},
		qReadSequence: {"read sequence", d.readSequence},
		qSetSequence:  {"write sequence", d.setSequence},
		qBeginRead:    {"begin", d.beginRead},
		qBeginWrite:   {"begin", d.beginWrite},
		qCommit:       {"commit", "COMMIT"},
		qRollback:     {"roll back", "ROLLBACK"},
	}
	for i := range all {
		all[i].text = d.bind(d.withTables(all[i].text, prefix))
	}
	return &all
}

// withTables puts the names of tables in the place of @name. They are quoted, because a prefix may have capitals.
func (d *dialect) withTables(text, prefix string) string {
	return tableMark.ReplaceAllStringFunc(text, func(mark string) string { return d.quote(prefix + mark[1:]) })
}

// updateNode is the statement that writes the columns of mask.
func updateNode(d *dialect, prefix string, mask uint32) string {
	var b strings.Builder
	b.WriteString("UPDATE " + d.quote(prefix+"node") + " SET ")
	sep := ""
	for i, c := range nodeCols {
		if mask&(1<<i) != 0 {
			b.WriteString(sep + c + " = ?")
			sep = ", "
		}
	}
	b.WriteString(" WHERE inode = ?")
	return d.bind(b.String())
}
