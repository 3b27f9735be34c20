package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricPrefix begins the name of every metric, in .stats too.
const metricPrefix = "juicefs_"

// metricsTime bounds the work for one scrape, in which the database may be asked for the size of the volume.
const metricsTime = 10 * time.Second

// families are the metrics whose figures carry a label at the end of their names.
var families = map[string]string{
	"fuse_ops_total_":             "method",
	"fuse_ops_durations_seconds_": "method",
	"fuse_ops_io_errors_":         "errno",
	"meta_ops_total_":             "method",
	"meta_ops_duration_seconds_":  "method",
	"object_request_data_bytes_":  "method",
}

// growing are the figures without a label that only grow.
var growing = map[string]bool{
	"blockcache_drops": true, "blockcache_evicts": true, "blockcache_hits": true, "blockcache_hit_bytes": true, "blockcache_miss": true,
	"blockcache_miss_bytes": true, "blockcache_writes": true, "blockcache_write_bytes": true, "object_request_errors": true,
	"object_request_retries": true, "transaction_restart": true, "staging_block_delay_seconds": true, "staging_block_errors": true, "staging_write_bytes": true, "meta_round_trips_total": true,
	"blockcache_memory_hits": true, "blockcache_memory_hit_bytes": true, "blockcache_recent_hits": true, "blockcache_recent_hit_bytes": true,
	"blockcache_disk_hits": true, "blockcache_disk_hit_bytes": true, "prefetch_blocks": true, "prefetch_bytes": true, "prefetch_used_bytes": true,
}

// collector gives the figures of a mount as metrics, with the names and labels that dashboards know.
type collector struct {
	tally   *tally
	figures func(context.Context) figures
}

var _ prometheus.Collector = collector{}

// Describe gives nothing: which metrics there are depends on what was done.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsTime)
	defer cancel()
	for name, v := range c.figures(ctx) {
		if strings.Contains(name, "_hist") || strings.HasPrefix(name, "fuse_read_size_") || strings.HasPrefix(name, "fuse_written_size_") ||
			strings.HasPrefix(name, "go_") { // those follow with all that they hold
			continue
		}
		kind, labels, values := prometheus.GaugeValue, []string(nil), []string(nil)
		if growing[name] {
			kind = prometheus.CounterValue
		}
		for prefix, label := range families {
			if value, ok := strings.CutPrefix(name, prefix); ok {
				name, kind = strings.TrimSuffix(prefix, "_"), prometheus.CounterValue
				labels, values = []string{label}, []string{value}
				break
			}
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help(name), labels, nil), kind, v, values...)
	}
	t := c.tally
	for name, one := range map[string]struct {
		spread *spread
		sum    float64
	}{
		"fuse_ops_durations_histogram_seconds":    {&t.opTimes, total(&t.ops)},
		"meta_ops_durations_histogram_seconds":    {&t.metaTimes, total(&t.metaOps)},
		"transaction_durations_histogram_seconds": {&t.changeTimes, t.changes.seconds()},
		"blockcache_read_hist_seconds":            {&t.cacheReadTimes, t.cacheReads.seconds()},
		"blockcache_write_hist_seconds":           {&t.cacheWriteTimes, t.cacheWrites.seconds()},
		"compact_size_histogram_bytes":            {&t.compactSizes, float64(t.compactions.bytes.Load())},
		"fuse_read_size_bytes":                    {&t.readSizes, float64(t.read.bytes.Load())},
		"fuse_written_size_bytes":                 {&t.writtenSizes, float64(t.written.bytes.Load())},
	} {
		to <- one.spread.metric(prometheus.NewDesc(name, help(name), nil, nil), one.sum)
	}
	const requests = "object_request_durations_histogram_seconds"
	for op := range t.reqTimes {
		desc := prometheus.NewDesc(requests, help(requests), []string{"method"}, nil)
		to <- t.reqTimes[op].metric(desc, t.requests[op].seconds(), methodName(op))
	}
}

// help is what a metric says of itself.
func help(name string) string { return strings.ReplaceAll(name, "_", " ") }

// total adds up the times of all operations.
func total(all *sync.Map) (seconds float64) {
	all.Range(func(_, c any) bool {
		seconds += c.(*cost).seconds()
		return true
	})
	return seconds
}

// parseLabels reads "name:value;name:value".
func parseLabels(text string) (prometheus.Labels, error) {
	labels := prometheus.Labels{}
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, ":")
		name = strings.TrimSpace(name)
		valid := ok && name != "" && name != "vol_name" && name != "mp"
		for i, r := range name {
			valid = valid && (r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9')
		}
		if !valid {
			return nil, fmt.Errorf("--custom-labels: %q is not a name and a value: give such as zone:a;team:storage", part)
		}
		labels[name] = strings.TrimSpace(value)
	}
	return labels, nil
}

// metricsServer serves metrics until it is closed.
type metricsServer struct {
	listener net.Listener
	server   http.Server
	done     sync.WaitGroup
	consul   *consulService // nil: not registered
	log      *slog.Logger
}

// listenMetrics takes the address of the metrics. That it is in use is no reason to have no mount: where the user has
// not asked for it, which is where several mounts meet, a free port serves as well. nil: there are no metrics.
func (a *app) listenMetrics(opt *mountOptions) *metricsServer {
	if opt.metrics == "" {
		return nil
	}
	l, err := net.Listen("tcp", opt.metrics)
	if err != nil && !opt.metricsGiven {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		a.log.Error("metrics are not served: choose another address with --metrics", "err", err)
		return nil
	}
	opt.ports.PrometheusAgent = l.Addr().String()
	if opt.consulGiven {
		opt.ports.ConsulAddr = opt.consul
	}
	return &metricsServer{listener: l, log: a.log}
}

// serve begins to answer with the metrics of a client.
func (m *metricsServer) serve(ctx context.Context, c *client, point string, opt *mountOptions) error {
	labels, err := parseLabels(opt.labels)
	if err != nil {
		return err
	}
	labels["vol_name"], labels["mp"] = c.format.Name, point
	registry := prometheus.NewRegistry()
	for _, one := range []prometheus.Collector{
		collector{c.tally, c.figures}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := prometheus.WrapRegistererWith(labels, prometheus.WrapRegistererWithPrefix(metricPrefix, registry)).Register(one); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	m.server.Handler, m.server.ReadHeaderTimeout = mux, metricsTime
	m.done.Go(func() {
		if err := m.server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
			m.log.Warn("serve metrics", "err", err)
		}
	})
	m.log.Info("Prometheus metrics listening on " + m.listener.Addr().String())
	if opt.consulGiven && opt.consul != "" {
		if m.consul, err = registerConsul(ctx, opt.consul, m.listener.Addr(), point, c.format.Name); err != nil {
			m.log.Warn("the metrics are not registered with Consul", "address", opt.consul, "err", err)
		}
	}
	return nil
}

func (m *metricsServer) close(ctx context.Context) error {
	var failed error
	if m.consul != nil {
		failed = m.consul.end(ctx)
	}
	err := errors.Join(failed, m.server.Close(), ignoreClosed(m.listener.Close()))
	m.done.Wait()
	return err
}

// ignoreClosed passes over that a listener was closed by its server.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
