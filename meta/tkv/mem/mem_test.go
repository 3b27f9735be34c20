package mem_test

import (
	"testing"

	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

func TestConformance(t *testing.T) {
	metatest.RunEngine(t, func(t *testing.T) meta.Engine { return mem.NewEngine(tkv.Options{}) })
}

// TestConformancePrefix runs the suite on one volume of three in a store.
func TestConformancePrefix(t *testing.T) {
	metatest.RunEngine(t, func(t *testing.T) meta.Engine {
		s := mem.New()
		return tkv.New(tkv.WithPrefix(s, "jfs\xfd"), tkv.Options{})
	})
}

func TestShared(t *testing.T) {
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		s := mem.New()
		return tkv.New(s, tkv.Options{}), tkv.New(s, tkv.Options{})
	})
}
