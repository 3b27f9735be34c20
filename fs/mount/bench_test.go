package mount

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkOpenClose opens a file for reading and closes it, with locks of the volume and with locks of the kernel, for
// which the close sends no request.
func BenchmarkOpenClose(b *testing.B) {
	for name, local := range map[string]bool{"shared-locks": false, "local-locks": true} {
		b.Run(name, func(b *testing.B) {
			opt := patient()
			opt.LocalLocks = local
			path := filepath.Join(serve(b, volume{newFS(b)}, opt).MountPoint(), "f")
			if err := os.WriteFile(path, make([]byte, 4096), 0644); err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 4096)
			for b.Loop() {
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					b.Fatal(err)
				}
				_, err = unix.Pread(fd, buf, 0)
				if err != nil {
					b.Fatal(err)
				}
				if err := unix.Close(fd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
