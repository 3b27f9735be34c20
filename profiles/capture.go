package profiles

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Format is the version of a capture's directory.
const Format = 1

// indexFile names what is in a capture.
const indexFile = "capture.json"

// traceFile is the execution trace of a phase.
const traceFile = "trace.out"

// Capture is the profiles of a run of a benchmark, by phase, in a directory.
type Capture struct {
	Format  int       `json:"format"`
	Program string    `json:"program"` // version of the one that was measured
	Path    string    `json:"path"`    // that was measured
	Started time.Time `json:"started"`
	Phases  []Phase   `json:"phases"`
	dir     string
}

// Phase is a phase of the benchmark with its profiles.
type Phase struct {
	Name    string        `json:"name"`
	Dir     string        `json:"dir"`        // below that of the capture
	Rounds  int           `json:"rounds"`     // in which the profiles were taken
	Items   int64         `json:"items"`      // of these rounds
	Elapsed time.Duration `json:"elapsed_ns"` // of these rounds
	set     Set
}

// ErrCapture means that a directory or file holds no profiles that can be read.
var ErrCapture = errors.New("no capture of profiles")

// NewCapture makes the directory of a capture. It must be empty or not be there.
func NewCapture(dir string) (*Capture, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("directory for profiles: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("directory for profiles: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("directory for profiles: %s is not empty: give another one", dir)
	}
	return &Capture{Format: Format, dir: dir}, nil
}

// phase gives the entry of a phase, with its directory.
func (c *Capture) phase(name string) (*Phase, error) {
	for i := range c.Phases {
		if c.Phases[i].Name == name {
			return &c.Phases[i], nil
		}
	}
	p := Phase{Name: name, Dir: fmt.Sprintf("%02d-%s", len(c.Phases)+1, slug(name))}
	if err := os.Mkdir(filepath.Join(c.dir, p.Dir), 0o755); err != nil {
		return nil, err
	}
	c.Phases = append(c.Phases, p)
	return &c.Phases[len(c.Phases)-1], nil
}

// slug makes a name fit for a file.
func slug(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name), "-")
}

// Trace makes the file for the execution trace of a phase.
func (c *Capture) Trace(name string) (*os.File, error) {
	p, err := c.phase(name)
	if err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(c.dir, p.Dir, traceFile))
}

// Add adds what was recorded of a phase, of so many items.
func (c *Capture) Add(name string, set Set, items int64, elapsed time.Duration) error {
	p, err := c.phase(name)
	if err != nil {
		return err
	}
	if p.set, err = p.set.Merge(set); err != nil {
		return err
	}
	p.Rounds, p.Items, p.Elapsed = p.Rounds+1, p.Items+items, p.Elapsed+elapsed
	return nil
}

// Save writes the files.
func (c *Capture) Save() error {
	for _, p := range c.Phases {
		for kind, one := range p.set {
			if err := write(filepath.Join(c.dir, p.Dir, string(kind)+".pprof"), one); err != nil {
				return err
			}
		}
	}
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, indexFile), append(b, '\n'), 0o644)
}

func write(path string, p *profile.Profile) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(p.Write(f), f.Close())
}

// Load reads a capture: the directory that Save has filled, or a file with a profile, which then is its only phase.
func Load(path string) (*Capture, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return loadFile(path)
	}
	b, err := os.ReadFile(filepath.Join(path, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: give a directory that jfs bench --pprof has filled", path, ErrCapture)
	}
	if err != nil {
		return nil, err
	}
	c := &Capture{dir: path}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrCapture, err)
	}
	if c.Format != Format {
		return nil, fmt.Errorf("%s: %w: its format is %d and this version reads %d: run the benchmark again", path, ErrCapture, c.Format, Format)
	}
	for i := range c.Phases {
		p := &c.Phases[i]
		if !filepath.IsLocal(p.Dir) {
			return nil, fmt.Errorf("%s: %w: phase %q lies elsewhere", path, ErrCapture, p.Name)
		}
		p.set = Set{}
		for _, kind := range Kinds() {
			one, err := read(filepath.Join(path, p.Dir, string(kind)+".pprof"))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			p.set[kind] = one
		}
	}
	return c, nil
}

// loadFile reads one profile, whose values say of which kind it is.
func loadFile(path string) (*Capture, error) {
	p, err := read(path)
	if err != nil {
		return nil, err
	}
	set := Set{}
	for _, kind := range Kinds() {
		if _, err := Read(kind, p); err == nil {
			set[kind] = p
		}
	}
	if set[Mutex] != nil { // both have the same names
		delete(set, Block)
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%s: %w: its values are of no kind that is known", path, ErrCapture)
	}
	return &Capture{Format: Format, Phases: []Phase{{Name: filepath.Base(path), set: set}}}, nil
}

func read(path string) (*profile.Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrCapture, err)
	}
	return p, nil
}

// Set gives the profiles of a phase.
func (p *Phase) Set() Set { return p.set }
