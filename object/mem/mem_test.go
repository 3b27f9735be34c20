package mem_test

import (
	"testing"

	"jfs/object"
	"jfs/object/mem"
	"jfs/object/objecttest"
)

func TestConformance(t *testing.T) {
	objecttest.Run(t, func(*testing.T) object.Store { return mem.New() })
}
