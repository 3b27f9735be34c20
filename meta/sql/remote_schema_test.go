package sql

import (
	"fmt"
	"strings"
	"testing"

	"jfs/meta"
)

// describe asks the server for all columns and indexes of the current schema.
func describe(t *testing.T, p *place, url string) string {
	t.Helper()
	columns := "SELECT CONCAT_WS(' ', table_name, column_name, column_type, IF(is_nullable = 'YES', 'NULL', 'NOT NULL'), column_default, column_key, extra, collation_name)" +
		" FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
	indexes := "SELECT CONCAT_WS(' ', table_name, index_name, IF(non_unique, 'plain', 'unique'), GROUP_CONCAT(column_name ORDER BY seq_in_index))" +
		" FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name, non_unique ORDER BY table_name, index_name"
	if p.name == "postgres" {
		columns = "SELECT concat_ws(' ', table_name, column_name, data_type, character_maximum_length, CASE is_nullable WHEN 'YES' THEN 'NULL' ELSE 'NOT NULL' END, column_default)" +
			" FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
		indexes = "SELECT replace(indexdef, schemaname || '.', '') FROM pg_indexes WHERE schemaname = current_schema() ORDER BY tablename, indexname"
	}
	var b strings.Builder
	var line string
	note := func() error {
		fmt.Fprintln(&b, line)
		return nil
	}
	askAt(t, url, call{text: columns, dest: []any{&line}, row: note})
	fmt.Fprintln(&b)
	askAt(t, url, call{text: indexes, dest: []any{&line}, row: note})
	return b.String()
}

// TestServerSchema pins names, types and indexes, which an official client compares with its own, and completes a
// schema of an older version.
func TestServerSchema(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		url := p.url(t, p.Addr)
		e := openRemote(t, url, Options{})
		if err := e.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		whole := describe(t, p, url)
		golden(t, "schema."+p.name+".golden", whole)
		if err := e.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again := describe(t, p, url); again != whole {
			t.Errorf("a second init changed the schema:\n%s", again)
		}
		index := map[string]string{"postgres": `DROP INDEX "IDX_jfs_edge_inode"`, "mysql": "DROP INDEX `IDX_jfs_edge_inode` ON jfs_edge"}[p.name]
		for _, text := range []string{"ALTER TABLE jfs_node DROP COLUMN tier_id", "DROP TABLE jfs_detached_node", index} {
			askAt(t, url, call{text: text})
		}
		if err := e.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again := describe(t, p, url); again != whole {
			t.Errorf("the schema of an older version becomes\n%s", again)
		}
	})
}

// TestServerRows pins what a volume stores, by its numbers: with the limits of the format for these databases.
func TestServerRows(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		url := p.url(t, p.Addr)
		e := openRemote(t, url, Options{})
		newVolume(t, e)
		var name string
		var value number
		counters := map[string]int64{}
		askAt(t, url, call{text: "SELECT name, value FROM jfs_counter", dest: []any{&name, &value}, row: func() error {
			counters[name] = int64(value)
			return nil
		}})
		want := map[string]int64{"nextInode": 2, "nextChunk": 1, "nextSession": 0, "usedSpace": 0, "totalInodes": 0, "nextCleanupSlices": 0}
		if fmt.Sprint(counters) != fmt.Sprint(want) {
			t.Errorf("counters %v, want %v", counters, want)
		}
		err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
			tx.SetAttr(77, &meta.Attr{Type: meta.TypeFile, UID: 1<<32 - 2})
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "cannot be stored") {
			t.Errorf("an owner beyond the column's range: %v", err)
		}
	})
}
