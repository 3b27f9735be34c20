package meta

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestFormatChanges(t *testing.T) {
	old := NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	old.SecretKey, old.Bucket = "one", "http://me:pw@host/b"
	old.unknown = map[string]json.RawMessage{"Tomorrow": json.RawMessage(`"x"`)}
	next := old
	next.Capacity, next.TrashDays, next.Bucket, next.SecretKey, next.SessionToken = 5, 0, "http://me:other@host/b", "two", "new"
	next.Tiers = map[string]Tier{"0": {StorageClass: "COLD"}}
	next.unknown = map[string]json.RawMessage{"Tomorrow": json.RawMessage(`"y"`)}
	got, err := old.ChangesTo(next)
	want := []FormatChange{
		{"Bucket", "http://me:****@host/b", "http://me:****@host/b"}, {"Capacity", "", "5"},
		{"SecretKey", "****", "****"}, {"SessionToken", "", "****"},
		{"Tiers", `{"0":{"ID":0,"StorageClass":"","Tag":""}}`, `{"0":{"ID":0,"StorageClass":"COLD","Tag":""}}`},
		{"Tomorrow", "****", "****"}, {"TrashDays", "1", "0"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
	if none, err := old.ChangesTo(old); err != nil || len(none) != 0 {
		t.Errorf("no change gives %q, %v", none, err)
	}
}
