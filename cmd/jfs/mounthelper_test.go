package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestHelperArgs(t *testing.T) {
	tests := []struct {
		in, want string
		fake     bool
		err      string
	}{
		{in: "jfs mount redis://h/1 /mnt -d", want: "mount redis://h/1 /mnt -d"},
		{in: "jfs", want: ""},
		{in: "/sbin/mount.jfs redis://h/1 /mnt -o _netdev,writeback", want: "mount -d -o _netdev,writeback -- redis://h/1 /mnt"},
		{in: "mount.juicefs h:6379/1 /mnt -o rw,cache-size=512000 -n -v", want: "mount -d -o rw,cache-size=512000 --verbose -- h:6379/1 /mnt"},
		{in: "mount.jfs -sfnv redis://h /mnt", want: "mount -d --verbose -- redis://h /mnt", fake: true},
		{in: "mount.jfs redis://h /mnt -orw -t fuse.jfs -N /proc/1/ns/mnt -r", want: "mount -d -o rw --read-only -- redis://h /mnt"},
		{in: "jfs redis://h/1 /mnt -o rw", want: "mount -d -o rw -- redis://h/1 /mnt"},
		{in: "mount.jfs redis://h", err: "1 arguments besides options"},
		{in: "mount.jfs redis://h /mnt -o", err: "option -o needs a value"},
		{in: "mount.jfs redis://h /mnt -x", err: "unknown option -x"},
		{in: "mount.jfs redis://h /mnt --cache-size=1", err: "unknown option --cache-size=1"},
	}
	for _, tt := range tests {
		got, fake, err := helperArgs(strings.Fields(tt.in))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want %q", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != tt.want || fake != tt.fake {
			t.Errorf("%q: %q, %v, %v, want %q, %v", tt.in, got, fake, err, tt.want, tt.fake)
		}
	}
}

func TestApplyWords(t *testing.T) {
	tests := []struct {
		in    string
		given string // flags that are set then
		fuse  string
		err   string
	}{
		{in: "_netdev,max-uploads=50,cache-size=512000", given: "max-uploads=50 cache-size=500G"},
		{in: "defaults,nofail,x-systemd.requires=redis.service,comment=x,user,rw"},
		{in: "ro,allow_other,nonempty", given: "read-only", fuse: "allow_other nonempty"},
		{in: "noexec,suid,writeback_cache", fuse: "noexec suid writeback_cache"},
		{in: "cache-dir=/a:/b,enable-xattr=false,no-bgjob", given: "enable-xattr=false no-bgjob cache-dir=/a:/b"},
		{in: "writeback,,", given: "writeback"},
		{in: "no-agent", given: ""},
		{in: "cache-size", err: "option cache-size in -o needs a value"},
		{in: "cache-size=much", err: "option cache-size in -o"},
		{in: "remount,rw", err: "instead of -o remount"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			set, opt, flags := pflag.NewFlagSet("mount", pflag.ContinueOnError), &mountOptions{}, mountFlags()
			if err := flags.register(set, opt); err != nil {
				t.Fatal(err)
			}
			global := &globalOptions{}
			if err := globalFlags().register(set, global); err != nil {
				t.Fatal(err)
			}
			opt.fuse = []string{tt.in}
			err := applyWords(set, flags, opt)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(flags.given(set), " "); got != tt.given {
				t.Errorf("given: %q, want %q", got, tt.given)
			}
			if got := strings.Join(opt.fuse, " "); got != tt.fuse {
				t.Errorf("for FUSE: %q, want %q", got, tt.fuse)
			}
			if global.noAgent != (tt.in == "no-agent") {
				t.Errorf("no-agent is %v", global.noAgent)
			}
		})
	}
}
