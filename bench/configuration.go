package bench

import (
	"fmt"
	"os"
)

// Configuration is a way to mount a volume.
type Configuration struct {
	Name  string   `yaml:"name"`
	Flags []string `yaml:"flags"` // of mount, or of format
	Meta  string   `yaml:"meta"`  // META-URL of the volume; "": that of all
	// Program is the jfs that mounts it, to compare two builds; "": the one that measures.
	Program string `yaml:"program"`
}

// ReadConfigurations reads a list of configurations.
func ReadConfigurations(file string) (list []Configuration, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configurations: %w", err)
	}
	if err := strict(b, &list); err != nil {
		return nil, fmt.Errorf("configurations in %s: %w: give a list such as \"- {name: fast, flags: [--writeback]}\"", file, err)
	}
	for i, c := range list {
		if c.Name == "" {
			return nil, fmt.Errorf("configurations in %s: number %d has no name", file, i+1)
		}
	}
	return list, nil
}
