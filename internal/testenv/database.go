package testenv

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Users of the servers that StartPostgres and StartMariaDB start. SQLUser may do everything and needs no password;
// SQLGuest needs SQLPassword and may do everything in the database of its name, and nothing but connect elsewhere.
const (
	SQLUser     = "jfs"
	SQLGuest    = "guest"
	SQLPassword = "geh:im/@1"
)

// StartPostgres starts a PostgreSQL server with the database SQLUser. What it holds survives Stop, Kill and Start.
// What is committed is given to the kernel and not to the disk.
// The arguments are added to the command line ("-c", "max_connections=5"). Its socket is in Dir.
func StartPostgres(tb testing.TB, args ...string) *Server {
	tb.Helper()
	binary, initdb := findServer(tb, "postgres", "postgresql"), findServer(tb, "initdb", "postgresql")
	dir, cred := serverDir(tb, "postgres")
	data := filepath.Join(dir, "data")
	prepare(tb, dir, cred, initdb, "-D", data, "-U", SQLUser, "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync")
	// The first line that fits decides.
	hba := "host all " + SQLGuest + " 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n"
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		tb.Fatal(err)
	}
	s := launch(tb, &Server{
		name: "postgres", binary: binary, dir: dir, cred: cred,
		quit: syscall.SIGINT, // ends the clients too
		args: func(addr string) []string {
			host, port, _ := net.SplitHostPort(addr)
			return append([]string{"-D", data, "-h", host, "-p", port, "-k", dir, "-F",
				"-c", "full_page_writes=off", "-c", "max_connections=200",
				"-c", "shared_buffers=32MB", "-c", "max_wal_size=1GB", "-c", "autovacuum=off", "-c", "jit=off",
				"-c", "deadlock_timeout=20ms", // one second otherwise, which every deadlock of a race would cost
			}, args...)
		},
		ready: postgresReady,
	})
	for _, text := range []string{
		"CREATE DATABASE " + SQLUser,
		"CREATE USER " + SQLGuest + " PASSWORD '" + SQLPassword + "'",
		"CREATE DATABASE " + SQLGuest + " OWNER " + SQLGuest,
	} {
		if err := postgresSay(context.Background(), s.Addr, text); err != nil {
			tb.Fatalf("%s: %v", text, err)
		}
	}
	return s
}

// StartMariaDB starts a MariaDB server with the empty database SQLUser; see StartPostgres. Its socket is
// Dir/mysql.sock.
func StartMariaDB(tb testing.TB, args ...string) *Server {
	tb.Helper()
	binary, install := findServer(tb, "mariadbd", "mariadb-server"), findServer(tb, "mariadb-install-db", "mariadb-server")
	dir, cred := serverDir(tb, "mysql")
	data := filepath.Join(dir, "data")
	own := "--tmpdir=" + dir // a server that starts removes what others have in a directory that they share
	prepare(tb, dir, cred, install, "--no-defaults", "--datadir="+data, own, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--innodb-flush-method=nosync", "--innodb-log-file-size=32M")
	first := filepath.Join(dir, "init.sql")
	if err := os.WriteFile(first, []byte(strings.Join([]string{
		"CREATE USER IF NOT EXISTS " + SQLUser + "@'%';",
		"GRANT ALL ON *.* TO " + SQLUser + "@'%' WITH GRANT OPTION;",
		"CREATE USER IF NOT EXISTS " + SQLGuest + "@'%' IDENTIFIED BY '" + SQLPassword + "';",
		"CREATE DATABASE IF NOT EXISTS " + SQLUser + ";",
		"CREATE DATABASE IF NOT EXISTS " + SQLGuest + ";",
		"GRANT ALL ON " + SQLGuest + ".* TO " + SQLGuest + "@'%';",
		"GRANT SELECT ON " + SQLUser + ".* TO " + SQLGuest + "@'%';",
	}, "\n")), 0o644); err != nil {
		tb.Fatal(err)
	}
	return launch(tb, &Server{
		name: "mariadbd", binary: binary, dir: dir, cred: cred,
		args: func(addr string) []string {
			host, port, _ := net.SplitHostPort(addr)
			return append([]string{"--no-defaults", "--datadir=" + data, own, "--bind-address=" + host, "--port=" + port,
				"--socket=" + filepath.Join(dir, "mysql.sock"), "--pid-file=" + filepath.Join(dir, "pid"), "--init-file=" + first,
				"--skip-name-resolve", "--skip-log-bin", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2",
				"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--innodb-file-per-table=0", "--max-connections=200",
			}, args...)
		},
		ready: mysqlReady,
	})
}

// Port is the port of Addr.
func (s *Server) Port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// Dir is the directory of a database server.
func (s *Server) Dir() string { return s.dir }

// findServer looks in PATH and where distributions hide servers.
func findServer(tb testing.TB, name, pkg string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/sbin/", "/usr/local/sbin/", "/usr/libexec/", "/usr/lib/postgresql*/bin/"} {
		found, _ := filepath.Glob(pattern + name)
		if len(found) > 0 {
			return found[len(found)-1]
		}
	}
	tb.Fatalf("%s is not installed: run `make test-deps`, which installs the package %s", name, pkg)
	return ""
}

// serverDir makes a directory for a server that refuses to run as root, and says who it is to run as.
func serverDir(tb testing.TB, name string) (string, *syscall.Credential) {
	tb.Helper()
	parent := "" // directories of the test's own cannot be entered by others
	if disk, ok := tb.(*Disk); ok {
		parent = disk.dir
	}
	dir, err := os.MkdirTemp(parent, "jfs-"+name+"-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove the directory of a server: %v", err)
		}
	})
	if os.Getuid() != 0 {
		return dir, nil
	}
	for _, who := range []string{name, "nobody"} {
		u, err := user.Lookup(who)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID != nil || errGID != nil {
			continue
		}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			tb.Fatal(err)
		}
		return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	tb.Fatalf("there is neither a user %s nor nobody, and the server does not run as root", name)
	return "", nil
}

func prepare(tb testing.TB, dir string, cred *syscall.Credential, name string, args ...string) {
	tb.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + dir, "LANG=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func postgresReady(ctx context.Context, addr string) error { return postgresSay(ctx, addr, "") }

// postgresSay logs in and runs a statement without an answer, in PostgreSQL's protocol.
func postgresSay(ctx context.Context, addr, text string) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	hello := "\x00\x03\x00\x00user\x00" + SQLUser + "\x00database\x00postgres\x00\x00"
	if err := writeFramed(conn, "", hello); err != nil {
		return err
	}
	if err := untilReady(conn); err != nil || text == "" {
		return err
	}
	if err := writeFramed(conn, "Q", text+"\x00"); err != nil {
		return err
	}
	return untilReady(conn)
}

func writeFramed(conn net.Conn, kind, body string) error {
	size := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	_, err := conn.Write([]byte(kind + string(size) + body))
	return err
}

// untilReady reads messages up to "ready for query".
func untilReady(conn net.Conn) error {
	for {
		var head [5]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		body := make([]byte, max(0, int(binary.BigEndian.Uint32(head[1:]))-4))
		if _, err := io.ReadFull(conn, body); err != nil {
			return err
		}
		switch head[0] {
		case 'Z':
			return nil
		case 'E':
			return fmt.Errorf("postgres says %q", body)
		}
	}
}

// mysqlReady waits for the greeting of protocol version 10.
func mysqlReady(ctx context.Context, addr string) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if head[4] != 10 {
		return fmt.Errorf("mariadbd greets with %x", head)
	}
	return nil
}
