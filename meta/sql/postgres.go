package sql

import (
	"strconv"
	"strings"
)

// postgres is the dialect of PostgreSQL.
func postgres() *dialect {
	quote := func(name string) string { return `"` + name + `"` }
	return &dialect{
		name: "postgres",
		types: func(k kind, _ int) string {
			switch k {
			case kindI64:
				return "bigint"
			case kindI32:
				return "integer"
			case kindID64:
				return "bigserial PRIMARY KEY"
			case kindID32:
				return "serial PRIMARY KEY"
			case kindStr:
				return "varchar(255)"
			case kindText:
				return "text"
			}
			return "bytea"
		},
		quote: quote,
		bind:  numberPlaceholders,
		upsert: func(table, keys, cols, set string) string {
			return "INSERT INTO " + table + " (" + cols + ") VALUES " + placeholders(strings.Count(cols, ",")+1) +
				" ON CONFLICT (" + keys + ") DO UPDATE SET " + set
		},
		excluded: func(col string) string { return "excluded." + col },
		concat:   func(a, b string) string { return a + " || " + b },
		tail:     func(a, from string) string { return "substr(" + a + ", " + from + ")" },
		classify: classifyPostgres,
		server: &serverDialect{
			begin:     []string{"BEGIN"}, // the server's default level, READ COMMITTED, is made sure of when connecting
			beginRead: []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
			lock:      " FOR UPDATE",
			share:     " FOR KEY SHARE",
			// A division by zero fails the statement, and with it the rest of what is on its way, COMMIT included.
			must: func(text string) []statement {
				return []statement{{text: "WITH done AS (" + text + " RETURNING 1) SELECT 1 / count(*) FROM done"}}
			},
			guard: func(from, lock string) string {
				return "SELECT 1 / count(*) FROM (SELECT 1 " + from + lock + ") AS found"
			},
			guardNone: func(from string) string {
				return "SELECT 1 / CASE WHEN EXISTS (SELECT 1 " + from + ") THEN 0 ELSE 1 END"
			},
			indexes: "SELECT relname::text FROM pg_catalog.pg_class WHERE relkind = 'i' AND relnamespace = current_schema()::regnamespace",
			allColumns: "SELECT c.relname::text, a.attname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid" +
				" WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped",
			reserve: func(counter string, first int64, create bool) []statement {
				if create {
					return []statement{{"add to counter", "INSERT INTO @counter (name, value) SELECT '" + counter + "', " + strconv.FormatInt(first, 10) +
						" + n FROM (SELECT ?::bigint AS n) AS batch ON CONFLICT (name) DO UPDATE SET value = @counter.value + excluded.value - " +
						strconv.FormatInt(first, 10) + " RETURNING value"}}
				}
				return []statement{{"add to counter", "UPDATE @counter SET value = value + ? WHERE name = '" + counter + "' RETURNING value"}}
			},
			newACL: func(insert string) string { return insert + " RETURNING id" },
			// Whoever inserts a rule, or takes numbers, waits for this transaction: then the numbers are in a row.
			reserveACL: func(n int64) []statement {
				const seq = "pg_get_serial_sequence('@acl', 'id')"
				return []statement{
					{"lock ACLs", "LOCK TABLE @acl IN SHARE ROW EXCLUSIVE MODE"},
					{"take numbers", "SELECT setval(" + seq + ", nextval(" + seq + ") + " + strconv.FormatInt(n-1, 10) + ") - " + strconv.FormatInt(n-1, 10)},
				}
			},
			nextACL:  "SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM @acl_id_seq",
			resetACL: "SELECT setval(pg_get_serial_sequence('@acl', 'id'), 1, false)",
			// A text of several statements is one transaction. Two who create the same at once get in each other's way.
			schemaLock: "SELECT pg_advisory_xact_lock(7017270)",
			definite:   definitePostgres,
		},
	}
}

// numberPlaceholders turns the ? of a statement into $1, $2, ...
func numberPlaceholders(text string) string {
	var b strings.Builder
	n := 0
	for i := range len(text) {
		if text[i] == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
