package main

import (
	"slices"
	"strings"
	"testing"
)

func TestRewriteArgs(t *testing.T) {
	known := flagKinds{
		"cache-dir": true, "cache-size": true, "background": false, "d": false, "debug": false, "o": true,
		"threads": true, "p": true, "verbose": false, "v": false, "quiet": false, "log": true, "force": false, "f": false,
	}
	tests := []struct{ in, want string }{
		{"mount -cache-dir X redis://h /mnt", "mount --cache-dir X redis://h /mnt"},
		{"mount redis://h /mnt -cache-size=1G", "mount redis://h /mnt --cache-size=1G"},
		{"mount -d -o allow_other -v", "mount -d -o allow_other -v"},
		{"mount -debug -background", "mount --debug --background"},
		{"bench -p 4 /mnt", "bench -p 4 /mnt"},
		{"bench -p4 /mnt", "bench -p4 /mnt"},
		{"bench -threads 4", "bench --threads 4"},
		{"-quiet umount -f /mnt", "--quiet umount -f /mnt"},
		{"mount --cache-dir -debug /mnt", "mount --cache-dir -debug /mnt"},
		{"mount -log -debug /mnt", "mount --log -debug /mnt"},
		{"mount -o -debug /mnt", "mount -o -debug /mnt"},
		{"mount -unknown -oallow_other", "mount -unknown -oallow_other"},
		{"umount -- -debug", "umount -- -debug"},
		{"umount - /mnt", "umount - /mnt"},
		{"mount cache-dir debug", "mount cache-dir debug"},
		{"mount -cache-dir", "mount --cache-dir"},
		{"", ""},
	}
	for _, tt := range tests {
		got := rewriteArgs(strings.Fields(tt.in), known)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.in, got, tt.want)
		}
	}
	in := []string{"mount", "", "-debug"}
	if got := rewriteArgs(in, known); !slices.Equal(got, []string{"mount", "", "--debug"}) {
		t.Errorf("empty argument: %q", got)
	}
}
