package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"jfs/internal/units"
)

// Prices is what a store asks for its requests and its traffic.
type Prices struct {
	Currency string  `yaml:"currency"`
	Put      float64 `yaml:"put"` // each for a thousand requests
	Get      float64 `yaml:"get"`
	Head     float64 `yaml:"head"`
	List     float64 `yaml:"list"`
	Delete   float64 `yaml:"delete"`
	In       float64 `yaml:"in"` // for a GiB to the store
	Out      float64 `yaml:"out"`
}

// DefaultPrices are those of S3 Standard in us-east-1 for a client in the same region, as published in 2025.
func DefaultPrices() Prices {
	return Prices{Currency: "USD", Put: 0.005, Get: 0.0004, Head: 0.0004, List: 0.005}
}

// ReadPrices reads a table of prices: lines of a name and a number. What it does not name costs nothing.
func ReadPrices(file string) (p Prices, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	if err := strict(b, &p); err != nil {
		return p, fmt.Errorf("prices in %s: %w: give lines such as \"put: 0.005\", with currency, put, get, head, list, delete (each for 1000 requests), in and out (for a GiB)", file, err)
	}
	for _, v := range []float64{p.Put, p.Get, p.Head, p.List, p.Delete, p.In, p.Out} {
		if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			return p, fmt.Errorf("prices in %s: %w", file, errors.New("a price is a number from 0 on"))
		}
	}
	if p.Currency == "" {
		p.Currency = "USD"
	}
	return p, nil
}

// Cost is what a phase has cost the database, the store and the client, in all rounds. What the mount does not tell is
// NaN.
type Cost struct {
	Trips        float64 // round trips to the database
	PerItem      float64 // of these, for an item
	Puts, Gets   float64 // requests to the store
	Heads, Lists float64
	Deletes      float64
	Retries      float64 // requests to the store that were sent again
	Restarts     float64 // transactions of the database that were computed anew
	PutBytes     float64
	GetBytes     float64
	Price        float64
	Memory       float64 // share of the bytes read from the cache that memory had, from 0 to 1
	Disk         float64 // share that the cache on disk had
	ReadAmp      float64 // bytes from the store for each byte read
	WriteAmp     float64 // bytes to the store for each byte written
	Ahead        float64 // bytes read ahead that somebody wanted
	Wasted       float64 // bytes read ahead that nobody wanted by the end
	CPU          float64 // seconds of the client
	Resident     float64 // bytes of memory of the client
}

// Cost prices what the mount has counted during a phase of this result. ok is false where it counts nothing.
func (res *Result) Cost(r PhaseResult, prices Prices) (c Cost, ok bool) {
	grown := r.Counted()
	if grown == nil {
		return c, false
	}
	requests := func(op string) float64 { return grown["object_request_durations_histogram_seconds_"+op+"_total"] }
	ratio := func(part, whole float64) float64 {
		if whole <= 0 {
			return math.NaN()
		}
		return part / whole
	}
	c = Cost{
		Trips: grown["meta_round_trips_total"],
		Puts:  requests("PUT"), Gets: requests("GET"), Heads: requests("HEAD"), Lists: requests("LIST"), Deletes: requests("DELETE"),
		PutBytes: grown["object_request_data_bytes_PUT"], GetBytes: grown["object_request_data_bytes_GET"],
		Ahead: grown["prefetch_used_bytes"], CPU: grown["cpu_usage"], Resident: grown["memory"],
	}
	c.Wasted = max(grown["prefetch_bytes"]-c.Ahead, 0)
	c.PerItem = ratio(c.Trips, float64(r.Files()))
	if _, counted := res.After["meta_round_trips_total"]; !counted { // SQLite has none
		c.Trips, c.PerItem = math.NaN(), math.NaN()
	}
	c.Retries, c.Restarts = math.NaN(), math.NaN() // where the mount's program is one that does not count them
	if _, counted := res.After["object_request_retries"]; counted {
		c.Retries, c.Restarts = grown["object_request_retries"], grown["transaction_restart"]
	}
	c.Price = (c.Puts*prices.Put+c.Gets*prices.Get+c.Heads*prices.Head+c.Lists*prices.List+c.Deletes*prices.Delete)/1000 +
		(c.PutBytes*prices.In+c.GetBytes*prices.Out)/float64(units.GiB)
	// What was read ahead comes from the store, though the reader finds it in memory.
	near := max(grown["blockcache_memory_hit_bytes"]+grown["blockcache_recent_hit_bytes"]-c.Ahead, 0)
	disk, far := grown["blockcache_disk_hit_bytes"], grown["blockcache_miss_bytes"]
	c.Memory, c.Disk = ratio(near, near+disk+far), ratio(disk, near+disk+far)
	c.ReadAmp, c.WriteAmp = math.NaN(), math.NaN()
	switch {
	case r.Phase.writes():
		c.WriteAmp = ratio(c.PutBytes, float64(r.Bytes()))
	case r.Phase.Op == Read || r.Phase.Op == Random:
		c.ReadAmp = ratio(c.GetBytes, float64(r.Bytes()))
	}
	return c, true
}

// strict reads YAML and refuses what is not known. Its errors are one line, which the decoder's own are not.
func strict(b []byte, to any) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(to); err != nil {
		return errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	return nil
}
