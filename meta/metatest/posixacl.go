package metatest

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

var aclTests = []posixTest{
	{"ACLOff", aclOff},
	{"ACLSet", aclSet},
	{"ACLErrors", aclErrors},
	{"ACLChmod", aclChmod},
	{"ACLDecides", aclDecides},
	{"ACLInherit", aclInherit},
	{"ACLShared", aclShared},
}

// withACL turns ACLs on and opens the volume anew.
func (c *client) withACL() {
	c.t.Helper()
	c.remake(func(f *meta.Format) { f.TurnOnACL() })
	c.session()
}

// aclOf is a list with a mask; users and groups are pairs of a number and permissions.
func aclOf(owner, group, mask, other uint16, users, groups []meta.ACLEntry) meta.ACL {
	return meta.ACL{Owner: owner, Group: group, Mask: mask, Other: other, Users: users, Groups: groups}
}

func (c *client) setACL(ino meta.Ino, typ meta.ACLType, r meta.ACL) {
	c.t.Helper()
	c.noErr("set ACL", c.SetFacl(c.ctx, meta.Root, ino, typ, r))
}

func (c *client) wantACL(ino meta.Ino, typ meta.ACLType, want meta.ACL) {
	c.t.Helper()
	got, err := c.GetFacl(c.ctx, ino, typ)
	c.noErr("get ACL", err)
	if !reflect.DeepEqual(got, want) {
		c.t.Errorf("ACL %d of inode %d: %+v, want %+v", typ, ino, got, want)
	}
}

func (c *client) rules() int {
	return len(read(c.t, c.eng, func(r meta.Reader) (map[uint32][]byte, error) { return r.ACLs() }))
}

func aclOff(_ *testing.T, a, _ *client) {
	f := a.file(meta.RootIno, "f")
	for _, name := range []string{meta.XattrACLAccess, meta.XattrACLDefault} {
		_, err := a.GetXattr(a.ctx, f, name)
		a.want("get", err, posix.ENOTSUP)
		a.want("set", a.SetXattr(a.ctx, meta.Root, f, name, nil, 0), posix.ENOTSUP)
		a.want("remove", a.RemoveXattr(a.ctx, meta.Root, f, name), posix.ENOTSUP)
	}
}

func aclSet(t *testing.T, a, _ *client) {
	a.withACL()
	d, f := a.dir(meta.RootIno, "d"), a.file(meta.RootIno, "f")
	before := a.attr(f)
	full := aclOf(6, 4, 7, 4, []meta.ACLEntry{{ID: 1000, Perm: 7}}, []meta.ACLEntry{{ID: 2000, Perm: 5}})
	a.noErr("set", a.SetXattr(a.ctx, meta.Root, f, meta.XattrACLAccess, full.Xattr(), 0))
	a.wantACL(f, meta.ACLAccess, full)
	at := a.attr(f)
	if at.Mode != 0674 || at.AccessACL != 1 || at.Ctime == before.Ctime || at.Mtime != before.Mtime {
		t.Errorf("after setting a list: %+v", at)
	}
	value, err := a.GetXattr(a.ctx, f, meta.XattrACLAccess)
	a.noErr("get", err)
	if !bytes.Equal(value, full.Xattr()) {
		t.Errorf("value % x, want % x", value, full.Xattr())
	}
	stored := read(t, a.eng, func(r meta.Reader) (map[uint32][]byte, error) { return r.ACLs() })
	equal(t, "stored rules", stored, map[uint32][]byte{1: meta.EncodeACL(&full)})
	a.setACL(f, meta.ACLAccess, full)
	if again := a.attr(f); again != at {
		t.Errorf("the same list again changed %+v to %+v", at, again)
	}
	names, err := a.ListXattr(a.ctx, f)
	a.noErr("list", err)
	equal(t, "names", names, []string{meta.XattrACLAccess})

	// what a mode can say needs no rule
	minimal := aclOf(7, 5, meta.ACLNone, 1, nil, nil)
	a.setACL(f, meta.ACLAccess, minimal)
	if at := a.attr(f); at.Mode != 0751 || at.AccessACL != 0 {
		t.Errorf("after setting a minimal list: %+v", at)
	}
	_, err = a.GetFacl(a.ctx, f, meta.ACLAccess)
	a.want("get", err, posix.ENODATA)
	partial := aclOf(meta.ACLNone, meta.ACLNone, 5, meta.ACLNone, []meta.ACLEntry{{ID: 7, Perm: 7}}, nil)
	a.setACL(f, meta.ACLAccess, partial)
	a.wantACL(f, meta.ACLAccess, aclOf(7, 5, 5, 1, []meta.ACLEntry{{ID: 7, Perm: 7}}, nil))
	a.noErr("remove", a.RemoveXattr(a.ctx, meta.Root, f, meta.XattrACLAccess))
	if at := a.attr(f); at.AccessACL != 0 || at.Mode != 0751 {
		t.Errorf("after removing the list: %+v", at)
	}

	a.setACL(d, meta.ACLDefault, minimal)
	a.wantACL(d, meta.ACLDefault, minimal)
	a.setACL(d, meta.ACLAccess, full)
	if at := a.attr(d); at.Mode != 0674 || at.AccessACL == 0 || at.DefaultACL == 0 || at.AccessACL == at.DefaultACL {
		t.Errorf("directory with two lists: %+v", at)
	}
	names, err = a.ListXattr(a.ctx, d)
	a.noErr("list", err)
	slices.Sort(names)
	equal(t, "names", names, []string{meta.XattrACLAccess, meta.XattrACLDefault})
	a.noErr("remove", a.RemoveXattr(a.ctx, meta.Root, d, meta.XattrACLDefault))
	a.wantACL(d, meta.ACLAccess, full)
	if at := a.attr(d); at.DefaultACL != 0 {
		t.Errorf("after removing the default list: %+v", at)
	}
}

func aclErrors(t *testing.T, a, _ *client) {
	a.withACL()
	f, s := a.file(meta.RootIno, "f"), a.make(meta.RootIno, "s", meta.TypeSymlink)
	r := aclOf(7, 5, 5, 0, []meta.ACLEntry{{ID: 7, Perm: 7}}, nil)
	set := func(who meta.Cred, ino meta.Ino, typ meta.ACLType) error { return a.SetFacl(a.ctx, who, ino, typ, r) }
	a.want("another user", set(user, f, meta.ACLAccess), posix.EPERM)
	a.want("type", set(meta.Root, f, 3), posix.EINVAL)
	a.want("trash", set(meta.Root, meta.TrashIno, meta.ACLAccess), posix.EPERM)
	a.want("missing", set(meta.Root, 4242, meta.ACLAccess), posix.ENOENT)
	a.want("default list of a file", set(meta.Root, f, meta.ACLDefault), posix.EACCES)
	a.want("removal of the default list of a file", a.RemoveXattr(a.ctx, meta.Root, f, meta.XattrACLDefault), nil)
	a.want("symlink", set(meta.Root, s, meta.ACLAccess), posix.ENOTSUP)
	a.want("malformed", a.SetXattr(a.ctx, meta.Root, f, meta.XattrACLAccess, []byte{1}, 0), posix.EINVAL)
	_, err := a.GetFacl(a.ctx, 4242, meta.ACLAccess)
	a.want("list of nothing", err, posix.ENOENT)
	uid, gid, mode := user.UID, uint32(77), uint16(02755)
	_, _, err = a.SetAttr(a.ctx, meta.Root, f, meta.Change{UID: &uid, GID: &gid})
	a.noErr("chown", err)
	_, _, err = a.SetAttr(a.ctx, meta.Root, f, meta.Change{Mode: &mode})
	a.noErr("chmod", err)
	a.want("owner", set(user, f, meta.ACLAccess), nil)
	if at := a.attr(f); at.Mode != 0750 {
		t.Errorf("mode %o, want 750: set-group-id is for members of the group", at.Mode)
	}
	flag := meta.FlagImmutable
	_, _, err = a.SetAttr(a.ctx, meta.Root, f, meta.Change{Flags: &flag})
	a.noErr("set flags", err)
	a.want("immutable", set(meta.Root, f, meta.ACLAccess), posix.EPERM)
}

func aclChmod(t *testing.T, a, _ *client) {
	a.withACL()
	f := a.file(meta.RootIno, "f")
	named := []meta.ACLEntry{{ID: 1000, Perm: 7}}
	a.setACL(f, meta.ACLAccess, aclOf(6, 4, 7, 4, named, nil))
	chmod := func(mode uint16) meta.Attr {
		t.Helper()
		_, at, err := a.SetAttr(a.ctx, meta.Root, f, meta.Change{Mode: &mode})
		a.noErr("chmod", err)
		return at
	}
	if at := chmod(04751); at.Mode != 04751 {
		t.Errorf("mode %o", at.Mode)
	}
	a.wantACL(f, meta.ACLAccess, aclOf(7, 4, 5, 1, named, nil))
	at := chmod(04751)
	equal(t, "rules", a.rules(), 2)
	if again := chmod(04751); again != at {
		t.Errorf("chmod to the same mode changed %+v to %+v", at, again)
	}
	chmod(0674)
	equal(t, "rules after going back", a.rules(), 2)
}

func aclDecides(t *testing.T, a, _ *client) {
	a.withACL()
	d, _, err := a.Mknod(a.ctx, meta.Root, meta.RootIno, "d", meta.New{Type: meta.TypeDirectory, Mode: 0700})
	a.noErr("mkdir", err)
	f := a.file(d, "f")
	other := meta.Cred{UID: 3000, GID: 3000, Groups: []uint32{2000}}
	open := func(who meta.Cred, write bool) error {
		_, err := a.Open(a.ctx, who, f, meta.OpenFor{Read: !write, Write: write})
		if err == nil {
			a.noErr("close", a.CloseFile(a.ctx, f))
		}
		return err
	}
	create := func(who meta.Cred, name string) error {
		_, _, err := a.Mknod(a.ctx, who, d, name, meta.New{Type: meta.TypeFile})
		return err
	}
	a.want("without a list", create(user, "x"), posix.EACCES)
	a.setACL(d, meta.ACLAccess, aclOf(7, 0, 7, 0, []meta.ACLEntry{{ID: user.UID, Perm: 7}}, []meta.ACLEntry{{ID: 2000, Perm: 5}}))
	a.setACL(f, meta.ACLAccess, aclOf(6, 0, 4, 0, []meta.ACLEntry{{ID: user.UID, Perm: 6}}, []meta.ACLEntry{{ID: 2000, Perm: 2}}))
	a.want("named user creates", create(user, "x"), nil)
	a.want("named group creates", create(other, "y"), posix.EACCES)
	_, _, err = a.Lookup(a.ctx, other, d, "f")
	a.want("named group looks up", err, nil)
	_, _, err = a.Lookup(a.ctx, meta.Cred{UID: 4000, GID: 4000}, d, "f")
	a.want("stranger looks up", err, posix.EACCES)
	a.want("named user reads", open(user, false), nil)
	a.want("named user writes against the mask", open(user, true), posix.EACCES)
	a.want("named group reads", open(other, false), posix.EACCES)
	a.want("access", a.Access(a.ctx, user, f, meta.MayRead), nil)
	a.want("access against the mask", a.Access(a.ctx, user, f, meta.MayRead|meta.MayWrite), posix.EACCES)
	_, err = a.Truncate(a.ctx, user, f, 0, false)
	a.want("truncate against the mask", err, posix.EACCES)
	_, err = a.Link(a.ctx, user, f, d, "l")
	a.want("named user links", err, nil)
	a.want("named user renames", a.Rename(a.ctx, user, nm(d, "l"), nm(d, "m"), 0), nil)
	a.want("named group unlinks", a.Unlink(a.ctx, other, d, "m"), posix.EACCES)
	a.want("named user unlinks", a.Unlink(a.ctx, user, d, "m"), nil)
	// Where the group class has nothing the plain classes decide.
	mode := uint16(0704)
	_, _, err = a.SetAttr(a.ctx, meta.Root, f, meta.Change{Mode: &mode})
	a.noErr("chmod", err)
	a.want("others", open(user, false), nil)
	// another client reads the same rules
	b := openVolume(t, a.eng, meta.Options{})
	b.want("named group looks up elsewhere", b.Access(b.ctx, other, d, meta.MayRead|meta.MayExec), nil)
	b.want("named group writes elsewhere", b.Access(b.ctx, other, d, meta.MayWrite), posix.EACCES)
}

func aclInherit(t *testing.T, a, _ *client) {
	a.withACL()
	d := a.dir(meta.RootIno, "d")
	named := []meta.ACLEntry{{ID: 1000, Perm: 7}}
	full := aclOf(7, 5, 7, 4, named, nil)
	a.setACL(d, meta.ACLDefault, full)
	def := a.attr(d).DefaultACL
	mk := func(typ meta.Type, name string, mode uint16) (meta.Ino, meta.Attr) {
		t.Helper()
		n := meta.New{Type: typ, Mode: mode, Umask: 077}
		if typ == meta.TypeSymlink {
			n.Target = "t"
		}
		ino, at, err := a.Mknod(a.ctx, meta.Root, d, name, n)
		a.noErr("create", err)
		if at != a.attr(ino) {
			t.Errorf("%s: made %+v, stored %+v", name, at, a.attr(ino))
		}
		return ino, at
	}
	f, at := mk(meta.TypeFile, "f", 0640)
	if at.Mode != 0640 || at.DefaultACL != 0 {
		t.Errorf("file: %+v", at)
	}
	a.wantACL(f, meta.ACLAccess, aclOf(6, 5, 4, 0, named, nil))
	sub, at := mk(meta.TypeDirectory, "sub", 0777)
	if at.Mode != 0774 || at.DefaultACL != def {
		t.Errorf("directory: %+v", at)
	}
	a.wantACL(sub, meta.ACLAccess, full)
	if _, at = mk(meta.TypeSymlink, "s", 0777); at.Mode != 0777 || at.AccessACL != 0 {
		t.Errorf("symlink: %+v", at)
	}
	tmp, at, err := a.Tmpfile(a.ctx, meta.Root, d, meta.New{Mode: 0640, Umask: 077})
	a.noErr("tmpfile", err)
	if at.AccessACL != a.attr(f).AccessACL || at.Mode != 0640 {
		t.Errorf("file without a name: %+v", at)
	}
	a.noErr("close", a.CloseFile(a.ctx, tmp))
	equal(t, "rules", a.rules(), 2)

	a.setACL(d, meta.ACLDefault, aclOf(7, 5, meta.ACLNone, 1, nil, nil))
	if _, at = mk(meta.TypeFile, "g", 0666); at.Mode != 0640 || at.AccessACL != 0 {
		t.Errorf("file under a minimal list: %+v", at)
	}
	if _, at = mk(meta.TypeDirectory, "sub2", 01777); at.Mode != 01751 || at.AccessACL != 0 || at.DefaultACL == 0 {
		t.Errorf("directory under a minimal list: %+v", at)
	}
	a.noErr("remove", a.RemoveXattr(a.ctx, meta.Root, d, meta.XattrACLDefault))
	if _, at = mk(meta.TypeFile, "h", 0666); at.Mode != 0600 {
		t.Errorf("file without a default list: %+v", at)
	}
}

// aclShared: equal lists are one rule, also when another client has stored it.
func aclShared(t *testing.T, a, _ *client) {
	a.withACL()
	r := aclOf(7, 5, 5, 0, []meta.ACLEntry{{ID: 7, Perm: 7}}, nil)
	f := a.file(meta.RootIno, "f")
	for i := range 5 {
		a.setACL(a.file(meta.RootIno, numbered("f", i)), meta.ACLAccess, r)
	}
	b := openVolume(t, a.eng, meta.Options{})
	b.setACL(f, meta.ACLAccess, r)
	equal(t, "rules", a.rules(), 1)
	equal(t, "rule", a.attr(f).AccessACL, 1)
	r.Other = 1
	b.setACL(f, meta.ACLAccess, r)
	a.wantACL(f, meta.ACLAccess, r)
	equal(t, "rules", a.rules(), 2)
}
