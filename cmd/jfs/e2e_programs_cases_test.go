package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func copyPrograms(s *shell) {
	s.sh(`cp -a "$TREE" cp`)
	s.says(`rsync -anciHAX --delete "$TREE/" cp/`, "")
	s.says(`diff -r --no-dereference "$TREE" cp`, "")
	s.sh(`rsync -aH "$TREE/" rs/`)
	s.says(`rsync -anciH --delete "$TREE/" rs/; diff -r --no-dereference "$TREE" rs`, "")
	s.sh(`cp -a rs "$LOCAL/back"`)
	s.says(`rsync -anciH --delete "$TREE/" "$LOCAL/back/"`, "")
	s.sh(`rm rs/big; echo changed >"rs/dir 3/sub/ünder/file-7.txt"; touch rs/more; rsync -aH --delete "$TREE/" rs/`)
	s.says(`rsync -anciH --delete "$TREE/" rs/`, "")
	s.sh(`cp -r --sparse=always "$TREE/sparse" s2; cmp "$TREE/sparse" s2; cp --reflink=auto s2 s3; cmp s2 s3`)
	s.says(`find cp | wc -l; find cp -type l | wc -l; find cp -links 2 -type f | wc -l`, s.sh(`cd "$TREE/.."; find tree | wc -l; find tree -type l | wc -l; find tree -links 2 -type f | wc -l`))
	s.sh(`rm -rf cp`)
	s.says(`ls -A`, "rs\ns2\ns3")
}

func tarProgram(s *shell) {
	s.sh(`tar -C "$TREE" --sparse -cf "$LOCAL/t.tar" . && mkdir out && tar -C out -xpf "$LOCAL/t.tar"`)
	s.says(`rsync -anciH --delete "$TREE/" out/`, "")
	s.sh(`tar -C out -czf packed.tgz . && mkdir "$LOCAL/out" && tar -C "$LOCAL/out" -xpzf packed.tgz`)
	s.says(`rsync -anciH --delete "$TREE/" "$LOCAL/out/"; tar -C out --diff -f "$LOCAL/t.tar"`, "")
}

func gitProgram(s *shell) {
	s.sh(`git init -q repo && cp -r "$TREE/." repo && cd repo && rmdir empty && git add -A && git commit -qm one`)
	s.says(`cd repo && git status --porcelain`, "")
	s.sh(`cd repo && for i in $(seq 8); do echo $i >>log; git add log; git commit -qm "step $i"; done`)
	s.sh(`cd repo && git checkout -qb side HEAD~5 && echo side >side && git add side && git commit -qm side &&
		git checkout -q - && git merge -q -m merge side && git mv "dir 1" "moved" && git commit -qm moved`)
	s.sh(`git clone -q repo clone && git clone -q --no-hardlinks "file://$MNT/repo" "$LOCAL/clone" && git -C repo gc -q --prune=now`)
	s.says(`git -C repo fsck --full --no-progress 2>&1; git -C repo status --porcelain; git -C repo count-objects`, "0 objects, 0 kilobytes")
	s.says(`git -C clone rev-parse HEAD; git -C clone log --oneline | wc -l`, s.sh(`git -C repo rev-parse HEAD; git -C "$LOCAL/clone" log --oneline | wc -l`))
	s.says(`diff -r --no-dereference -x .git repo clone; diff -r --no-dereference -x .git repo "$LOCAL/clone"`, "")
	s.sh(`cd repo && git stash list && echo dirty >>log && git stash -q && git stash pop -q && git reset -q --hard && git clean -qfdx && git worktree add -q ../tree && git worktree list | grep -q tree`)
}

func buildPrograms(s *shell) {
	const parts = 25
	var objects, calls, protos strings.Builder
	must(s.t, os.Mkdir(filepath.Join(s.dir, "src"), 0o755))
	put := func(name, text string) {
		must(s.t, os.WriteFile(filepath.Join(s.dir, "src", name), []byte(text), 0o644))
	}
	for i := range parts {
		put(fmt.Sprintf("p%d.c", i), fmt.Sprintf("#include \"all.h\"\nint p%d(int x) { return x + %d; }\n", i, i))
		fmt.Fprintf(&objects, " p%d.o", i)
		fmt.Fprintf(&protos, "int p%d(int);\n", i)
		fmt.Fprintf(&calls, "\tx = p%d(x);\n", i)
	}
	put("all.h", protos.String())
	put("main.c", "#include <stdio.h>\n#include \"all.h\"\nint main(void) {\n\tint x = 0;\n"+calls.String()+"\tprintf(\"%d\\n\", x);\n\treturn 0;\n}\n")
	put("Makefile", "prog: main.o libparts.a\n\tgcc -o $@ $^\nlibparts.a:"+objects.String()+"\n\tar rcs $@ $^\n%.o: %.c all.h\n\tgcc -O1 -g -c -o $@ $<\nclean:\n\trm -f prog *.o *.a\n")
	s.says(`cd src && make -j4 >"$LOCAL/log" && ./prog`, fmt.Sprint(parts*(parts-1)/2))
	s.says(`cd src && make`, "make: 'prog' is up to date.")
	s.says(`cd src && touch p3.c && make | wc -l`, "3")
	s.sh(`cd src && make clean && make -j4 >"$LOCAL/log" && ./prog && strip prog && ./prog`)
}

func databaseProgram(s *shell) {
	for _, mode := range []string{"DELETE", "WAL", "TRUNCATE"} {
		db := "db-" + strings.ToLower(mode)
		s.says(fmt.Sprintf(`sqlite3 %s "PRAGMA journal_mode=%s; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB, n INT); CREATE INDEX i ON t(n);"`, db, mode), strings.ToLower(mode))
		s.sh(fmt.Sprintf(`for i in $(seq 15); do sqlite3 %[1]s "BEGIN; WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<200)
			INSERT INTO t(v, n) SELECT randomblob(300), x*$i FROM c; UPDATE t SET n=n+1 WHERE id%%7=0; COMMIT;"; done
			sqlite3 %[1]s "BEGIN; DELETE FROM t; ROLLBACK;"`, db))
		s.says(fmt.Sprintf(`sqlite3 %s "PRAGMA integrity_check; SELECT count(*) FROM t;"`, db), "ok\n3000")
		s.says(fmt.Sprintf(`sqlite3 %[1]s "DELETE FROM t WHERE id%%2=0; VACUUM; PRAGMA integrity_check; SELECT count(*) FROM t;"`, db), "ok\n1500")
		s.sh(fmt.Sprintf(`sqlite3 %s .dump >"$LOCAL/1"; cp %s "$LOCAL/copy"; sqlite3 "$LOCAL/copy" .dump | cmp - "$LOCAL/1"`, db, db))
	}
	// Several processes on one database.
	s.says(`sqlite3 shared "CREATE TABLE t(x)"; for p in 1 2 3; do (for i in $(seq 20); do sqlite3 -cmd ".timeout 60000" shared "INSERT INTO t VALUES($p)"; done) & done
		wait; sqlite3 shared "SELECT count(*) FROM t; PRAGMA integrity_check"`, "60\nok")
}

func editorPrograms(s *shell) {
	// As editors save: a new file beside the old one, synced, with its mode, renamed over it.
	s.says(`echo one >f; chmod 640 f; for i in $(seq 30); do cp -p f .f.swp; { cat f; echo $i; } >f.tmp; chmod --reference=f f.tmp; sync f.tmp; mv f.tmp f; rm .f.swp; done
		wc -l <f; stat -c %a f; ls -A`, "31\n640\nf")
	// The other habit: the old one becomes the backup.
	s.says(`mv f f~; echo new >f; cat f; tail -n 1 f~`, "new\n30")
	s.says(`sed -i s/new/newer/ f; cat f; ln f g; sed -i s/newer/newest/ f; cat f g`, "newer\nnewest\nnewer")
	s.says(`exec 3<f; rm f; cat <&3; exec 3<&-; ls`, "newest\nf~\ng")
}

func toolPrograms(s *shell) {
	s.says(`dd if="$TREE/big" of=dd bs=100k conv=fsync status=none; cmp dd "$TREE/big"; dd if=/dev/zero of=dd bs=1000 seek=5 count=2 conv=notrunc,fdatasync status=none; stat -c %s dd`, fmt.Sprint(9<<20))
	s.says(`dd if="$TREE/big" of=direct bs=1M oflag=direct status=none; dd if=direct iflag=direct bs=1M status=none | cmp - "$TREE/big"`, "")
	s.says(`truncate -s 5M t; stat -c %s t; echo x >>t; truncate -s 10 t; truncate -s +5 t; od -An -c t | tr -d ' \n'`, `5242880`+"\n"+strings.Repeat(`\0`, 15))
	s.says(`split -b 1M -d "$TREE/big" part.; ls part.* | wc -l; cat part.* | cmp - "$TREE/big"`, "9")
	s.says(`mkdir tmp; seq 200000 | shuf >n; sort -T tmp -S 1M -n n >sorted; seq 200000 | cmp - sorted; ls -A tmp`, "")
	s.says(`for w in 1 2 3 4; do (for i in $(seq 100); do echo "writer $w line $i" >>log; done) & done; wait; wc -l <log; sort -u log | wc -l; grep -vc '^writer [1-4] line [0-9]*$' log || true`, "400\n400\n0")
	s.says(`mkdir -p m/a m/b; echo 1 >m/a/f; mv m/a/f m/b/g; mv m/a m/b/; mv m/b/a m/b/c; find m | sort`, "m\nm/b\nm/b/c\nm/b/g")
	s.says(`mv m/b/g "$LOCAL/g"; mv "$LOCAL/g" back; cat back; mv -n back n; ls back; mv -T m/b m/d; ls m`, "1\nback\nd")
	s.says(`mkfifo p; (echo through >p) & cat p; wait; install -m 751 -D "$TREE/big" x/y/z; stat -c %a x/y/z; readlink -f x/y/../y/z`, "through\n751\n"+s.dir+"/x/y/z")
	s.says(`touch -d 1970-01-02 old; touch -r old ref; stat -c %Y ref; find . -maxdepth 1 -name 'r?f' -newer old; test old -ot log && echo older`, "86400\nolder")
	s.says(`seq 500 | xargs -P 4 -I{} sh -c 'mkdir -p many/{}; echo {} >many/{}/f'; find many -type f | wc -l; cat many/*/f | sort -n | cmp - <(seq 500); rm -r many; test -e many || echo gone`, "500\ngone")
	s.says(`df --output=fstype . | tail -n 1; du -sb x | cut -f1 >"$LOCAL/du"; test "$(cat "$LOCAL/du")" -ge 9437184 && echo enough`, "fuse.juicefs\nenough")
}

func lockProgram(s *shell) {
	s.says(`echo 0 >n; for p in 1 2 3 4; do (for i in $(seq 25); do flock l sh -c 'echo $(($(cat n) + 1)) >n'; done) & done; wait; cat n`, "100")
	s.says(`exec 9>l; flock -x 9; flock -n l true || echo taken; exec 9>&-; flock -n l echo free`, "taken\nfree")
}

// mapProgram maps files, as databases and linkers do.
func mapProgram(s *shell) {
	t := s.t
	const size = 6 << 20
	want := content(size, 3)
	path := filepath.Join(s.dir, "f")
	must(t, os.WriteFile(path, want, 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	if at := firstDifference(m, want); at != size {
		t.Fatalf("mapped bytes differ at %d", at)
	}
	for at := 100; at < size; at += 70_001 {
		m[at] ^= 0xff
		want[at] ^= 0xff
	}
	must(t, unix.Msync(m, unix.MS_SYNC))
	must(t, f.Sync())
	must(t, same(path, want))
	_, err = f.WriteAt([]byte("through write"), 12345) // and the mapping sees it
	must(t, err)
	copy(want[12345:], "through write")
	if at := firstDifference(m, want); at != size {
		t.Errorf("mapped bytes differ at %d after a write", at)
	}
	m[size-1] = 'z' // left to the kernel to write out
	want[size-1] = 'z'
	must(t, unix.Munmap(m))
	must(t, f.Close())
	must(t, same(path, want))

	private, err := os.Open(path)
	must(t, err)
	defer private.Close()
	m, err = unix.Mmap(int(private.Fd()), 1<<20, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	must(t, err)
	m[0]++
	must(t, unix.Munmap(m))
	must(t, same(path, want))
	if _, err := unix.Mmap(int(private.Fd()), 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, syscall.EACCES) {
		t.Errorf("map a file for writing that is open for reading: %v", err)
	}
}
