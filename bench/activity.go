package bench

// activity is a kind of work of a mount during a run.
type activity struct {
	name    string
	count   float64
	seconds float64
}

// source names the counters of one activity: how often and how many seconds, each the sum over all labels.
type source struct {
	count, seconds [2]string // prefix and suffix
}

// histogram is the source that a histogram gives.
func histogram(name string) source {
	return source{[2]string{name, "_total"}, [2]string{name, "_sum"}}
}

// activities compares the counters before and after a run; an activity whose counters are missing is left out. Of
// several sources the first that is there counts.
func (r *Result) activities() []activity {
	const requests = "object_request_durations_histogram_seconds_"
	var list []activity
	for _, kind := range []struct {
		name    string
		sources []source
	}{
		{"FUSE operation", []source{
			histogram("fuse_ops_durations_histogram_seconds"),
			{[2]string{"fuse_ops_total_", ""}, [2]string{"fuse_ops_durations_seconds_", ""}},
		}},
		{"Update meta", []source{
			histogram("transaction_durations_histogram_seconds"),
			{[2]string{"meta_ops_total_", ""}, [2]string{"meta_ops_duration_seconds_", ""}},
		}},
		{"Put object", []source{histogram(requests + "PUT")}},
		{"Get object", []source{histogram(requests + "GET")}},
		{"Delete object", []source{histogram(requests + "DELETE")}},
		{"Write into cache", []source{histogram("blockcache_write_hist_seconds")}},
		{"Read from cache", []source{histogram("blockcache_read_hist_seconds")}},
	} {
		for _, s := range kind.sources {
			count, ok := r.grown(s.count)
			seconds, timed := r.grown(s.seconds)
			if ok && timed {
				list = append(list, activity{kind.name, count, seconds})
				break
			}
		}
	}
	return list
}

// grown returns by how much a sum of counters has grown. A counter that appears only afterwards began at 0.
func (r *Result) grown(names [2]string) (diff float64, ok bool) {
	after, ok := r.After.sum(names[0], names[1])
	before, _ := r.Before.sum(names[0], names[1])
	return after - before, ok
}
