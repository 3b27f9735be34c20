package object_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
)

// The placement of these keys over three stores was observed on an official volume.
func TestShardPlacement(t *testing.T) {
	shards := stores(3)
	s := object.Prefix(object.Sharded(shards), "shardvol/")
	want := map[string]int{"chunks/0/0/1_0_6000": 2, "chunks/0/0/2_0_6000": 1, "chunks/0/0/3_0_6000": 0, "juicefs_uuid": 2}
	for key, shard := range want {
		put(t, s, key, key)
		if got := get(t, shards[shard], "shardvol/"+key); got != key {
			t.Errorf("%s is not in shard %d", key, shard)
		}
	}
}

func TestShardedListMerges(t *testing.T) {
	counting := make([]object.Store, 4)
	for i := range counting {
		counting[i] = faulty.New(mem.New())
	}
	s := object.Sharded(counting)
	var all []string
	for i := range 1000 {
		key := fmt.Sprintf("k/%04d", i)
		all = append(all, key)
		put(t, s, key, "")
	}
	var got []string
	after, more := "", true
	for more {
		infos, m, err := s.List(t.Context(), "k/", after, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range infos {
			got = append(got, info.Key)
		}
		after, more = got[len(got)-1], m
	}
	if !slices.Equal(got, all) {
		t.Fatalf("%d keys, want %d in order", len(got), len(all))
	}
}

func TestShardedReportsAFailingShard(t *testing.T) {
	shards := stores(3)
	shards[1] = faulty.New(shards[1], faulty.Always(faulty.List, errBlip), faulty.Always(faulty.Create, object.ErrDenied))
	s := object.Sharded(shards)
	if _, _, err := s.List(t.Context(), "", "", 10); !errors.Is(err, errBlip) {
		t.Errorf("list: %v", err)
	}
	if err := s.Create(t.Context()); !errors.Is(err, object.ErrDenied) {
		t.Errorf("create: %v", err)
	}
	u, ok := s.(interface{ Unwrap() []object.Store })
	if !ok || len(u.Unwrap()) != 3 {
		t.Error("does not unwrap to its shards")
	}
}
