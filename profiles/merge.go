package profiles

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/pprof/profile"
)

// ForCompiler merges the CPU profiles of captures into one for profile-guided optimisation. Each phase counts the same,
// however long it took, so that none decides alone. The most samples that are kept bounds its size; those left out are
// the rarest, of which the compiler makes nothing.
func ForCompiler(captures []*Capture, most int) (*profile.Profile, error) {
	const weight = 1e9 // of a phase, in nanoseconds
	var all []*profile.Profile
	for _, c := range captures {
		for _, p := range c.Phases {
			if p.set[CPU] == nil {
				continue
			}
			one := p.set[CPU].Copy()
			r, err := Read(CPU, one)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			if r.Total == 0 {
				continue
			}
			one.Scale(weight / float64(r.Total))
			// What tells two runs apart is of no use, and makes the file larger.
			for _, s := range one.Sample {
				s.Label, s.NumLabel, s.NumUnit = nil, nil, nil
			}
			one.Mapping[0].BuildID, one.Comments = "", nil
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("merge profiles: there is none of the CPU with anything in it")
	}
	m, err := profile.Merge(all)
	if err != nil {
		return nil, fmt.Errorf("merge profiles: %w", err)
	}
	if most > 0 && len(m.Sample) > most {
		slices.SortStableFunc(m.Sample, func(a, b *profile.Sample) int { return cmp.Compare(b.Value[1], a.Value[1]) })
		m.Sample = m.Sample[:most]
	}
	return m.Compact(), nil
}
