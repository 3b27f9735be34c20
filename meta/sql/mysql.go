package sql

import (
	"strconv"
	"strings"
)

// mysqlDialect is the dialect of MySQL, MariaDB and TiDB.
func mysqlDialect() *dialect {
	quote := func(name string) string { return "`" + name + "`" }
	// One more than the largest number is an error, whatever the settings of the server are.
	const failIf = "SELECT 9223372036854775807 + "
	return &dialect{
		name: "mysql",
		types: func(k kind, n int) string {
			switch k {
			case kindI64:
				return "BIGINT(20)"
			case kindI32:
				return "INT"
			case kindID64:
				return "BIGINT(20) PRIMARY KEY AUTO_INCREMENT"
			case kindID32:
				return "INT PRIMARY KEY AUTO_INCREMENT"
			case kindStr:
				return "VARCHAR(255)"
			case kindText:
				return "TEXT"
			case kindVar:
				return "VARBINARY(" + strconv.Itoa(n) + ")"
			}
			return "BLOB"
		},
		quote: quote,
		bind:  func(text string) string { return text },
		upsert: func(table, _, cols, set string) string {
			return "INSERT INTO " + table + " (" + cols + ") VALUES " + placeholders(strings.Count(cols, ",")+1) +
				" ON DUPLICATE KEY UPDATE " + set
		},
		excluded: func(col string) string { return "VALUES(" + col + ")" },
		concat:   func(a, b string) string { return "concat(" + a + ", " + b + ")" },
		tail:     func(a, from string) string { return "substr(" + a + ", " + from + ")" },
		classify: classifyMySQL,
		server: &serverDialect{
			begin:     []string{"START TRANSACTION"},
			beginRead: []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"},
			lock:      " FOR UPDATE",
			share:     " LOCK IN SHARE MODE", // FOR SHARE is unknown to MariaDB
			must: func(text string) []statement {
				return []statement{{text: text}, {text: failIf + "(ROW_COUNT() < 1)"}}
			},
			guard:      func(from, lock string) string { return failIf + "(count(*) = 0) " + from + lock },
			guardNone:  func(from string) string { return failIf + "EXISTS (SELECT 1 " + from + ")" },
			lastID:     "SELECT LAST_INSERT_ID()",
			indexes:    "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()",
			allColumns: "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()",
			// Names of attributes differ in upper and lower case, as those of files do.
			tableTail: " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
			inline:    true,
			reserve: func(counter string, first int64, create bool) []statement {
				// The first number of a counter that is not there comes from the row and not from LAST_INSERT_ID.
				add := statement{"add to counter", "UPDATE @counter SET value = LAST_INSERT_ID(value + ?) WHERE name = '" + counter + "'"}
				read := statement{"read counter", "SELECT LAST_INSERT_ID()"}
				if create {
					add.text = "INSERT INTO @counter (name, value) VALUES ('" + counter + "', LAST_INSERT_ID(" +
						strconv.FormatInt(first, 10) + " + ?)) ON DUPLICATE KEY UPDATE value = LAST_INSERT_ID(value + VALUES(value) - " +
						strconv.FormatInt(first, 10) + ")"
					return []statement{add, read}
				}
				return []statement{add, {"read counter", "SELECT IF(ROW_COUNT() > 0, LAST_INSERT_ID(), NULL)"}}
			},
			newACL: func(insert string) string { return insert },
			// Numbers that one statement gives to its rows are in a row, and are not given again after it was rolled
			// back.
			reserveACL: func(n int64) []statement {
				return []statement{
					{"take numbers", "INSERT INTO @acl (owner) VALUES (NULL)" + strings.Repeat(", (NULL)", int(n-1))},
					{"read number", "SELECT LAST_INSERT_ID()"},
				}
			},
			nextACL: "SELECT COALESCE((SELECT auto_increment FROM information_schema.tables WHERE table_schema = DATABASE()" +
				" AND table_name = replace('@acl', '`', '')), 1)",
			resetACL: "ALTER TABLE @acl AUTO_INCREMENT = 1",
			definite: definiteMySQL,
		},
	}
}
