package bench

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Workloads come as lists of phases in YAML, those that are built in too.
//
//go:embed workloads/*.yaml
var builtIn embed.FS

// Workloads lists the names of the workloads that are built in.
func Workloads() []string {
	entries, _ := fs.ReadDir(builtIn, "workloads") // it is embedded
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// ReadWorkload gives the phases of a workload: one that is built in, or that of a file.
func ReadWorkload(name string) ([]Phase, error) {
	b, err := builtIn.ReadFile("workloads/" + name + ".yaml")
	if err != nil {
		b, err = os.ReadFile(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no workload is called %s: give %s, or a file with a list of phases", ErrConfig, name, strings.Join(Workloads(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("read the workload: %w", err)
	}
	var list []Phase
	if err := strict(b, &list); err != nil {
		return nil, fmt.Errorf("%w: workload %s: %w", ErrConfig, name, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: workload %s has no phases", ErrConfig, name)
	}
	for i, p := range list {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("workload %s, phase %d (%s): %w", name, i+1, p.Name, err)
		}
	}
	return list, nil
}
