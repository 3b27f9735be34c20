// Package metatest holds the suites that every metadata engine passes.
//
// A new engine's test is a few lines:
//
//	func TestConformance(t *testing.T) {
//		metatest.RunEngine(t, func(t *testing.T) meta.Engine { return openTemp(t) })
//	}
//
// The suites rely on nothing but the contract in package meta. In particular they never read what the same
// transaction wrote, and they start no Update inside another one: an engine may have a single writer.
package metatest

import (
	"sync"
	"testing"

	"jfs/meta"
)

// RunEngine runs the record-level suite. open gives an engine on an empty database that Init has not seen
// yet, a new one for each subtest; the suite closes it, and open releases what lies behind it with t.Cleanup.
func RunEngine(t *testing.T, open func(t *testing.T) meta.Engine) {
	t.Run("Init", func(t *testing.T) { testInit(t, open(t)) })
	groups := []struct {
		name  string
		cases []testCase
	}{
		{"Attr", attrCases},
		{"Entry", entryCases},
		{"Node", nodeCases},
		{"Chunk", chunkCases},
		{"Ref", refCases},
		{"Intent", intentCases},
		{"Job", jobCases},
		{"Maintain", maintainCases},
		{"Session", sessionCases},
		{"Lock", lockCases},
		{"Quota", quotaCases},
		{"ACL", aclCases},
		{"Delayed", delayedCases},
		{"Scan", scanCases},
		{"Update", updateCases},
		{"Conflict", conflictCases},
		{"Race", raceCases},
		{"Reserve", reserveCases},
		{"Context", contextCases},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.run(t, ready(t, open(t))) })
			}
		})
	}
}

// testCase is one subtest; the engine is prepared by Init and closed by the suite.
type testCase struct {
	name string
	run  func(t *testing.T, e meta.Engine)
}

// closer lets a test close an engine before the suite does.
type closer struct {
	meta.Engine
	close func() error
}

func (c closer) Close() error { return c.close() }

// ready prepares an engine and has it closed at the end of the test, if the test has not done so.
func ready(t *testing.T, engine meta.Engine) meta.Engine {
	t.Helper()
	e := closer{engine, sync.OnceValue(engine.Close)}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := e.Init(soon(t)); err != nil {
		t.Fatalf("init: %v", err)
	}
	return e
}

func testInit(t *testing.T, e meta.Engine) {
	if e.Name() == "" {
		t.Error("engine without a name")
	}
	noSetting := func(when string) {
		t.Helper()
		view(t, e, meta.Want{}, func(r meta.Reader) error {
			s, err := r.Setting()
			if err == nil && s != nil {
				t.Errorf("%s: setting %q, want none", when, s)
			}
			return err
		})
	}
	noSetting("before init")
	ready(t, e)
	noSetting("after init")

	a := dirAttr(meta.RootIno)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetSetting([]byte(`{"Name":"v"}`))
		tx.SetAttr(meta.RootIno, &a)
		return nil
	})
	first := reserve(t, e, meta.SeqInode, 10)
	if err := e.Init(soon(t)); err != nil {
		t.Fatalf("init on a volume: %v", err)
	}
	wantAttr(t, e, meta.RootIno, &a)
	if next := reserve(t, e, meta.SeqInode, 10); next != first+10 {
		t.Errorf("inodes after a second init begin at %d, want %d", next, first+10)
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		s, err := r.Setting()
		if string(s) != `{"Name":"v"}` {
			t.Errorf("setting after a second init: %q", s)
		}
		return err
	})
}
