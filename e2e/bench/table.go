package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// table holds the measurements by target and load.
type table map[string][]measurement

func newTable() table { return table{} }

func (t table) add(target, load string, m measurement) {
	key := target + "\x00" + load
	t[key] = append(t[key], m)
}

// median of one figure over the rounds.
func median[T int64 | float64 | time.Duration](all []measurement, figure func(measurement) T) T {
	var v []T
	for _, m := range all {
		v = append(v, figure(m))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (t table) print(w io.Writer, loads []load, nextHopTLS bool, ours, theirs string) {
	nextHop := "to a next hop that offers STARTTLS"
	if !nextHopTLS {
		nextHop = "to a next hop without TLS"
	}
	fmt.Fprintf(w, "Medians over the rounds; 4 KB messages, STARTTLS (X25519, P-256) and AUTH for each connection, durable, relaying %s included.\n", nextHop)
	for _, l := range loads {
		fmt.Fprintf(w, "\n%s\n", l.name)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(tw, "\tCPU s/1000\tmessages/s\tp50 ms\tp99 ms\trefused\tRSS MiB\t")
		for _, name := range []string{ours, theirs} {
			all := t[name+"\x00"+l.name]
			ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
			fmt.Fprintf(tw, "%s\t%.2f\t%.0f\t%s\t%s\t%d\t%d\t\n", name,
				median(all, func(m measurement) float64 { return m.cpu }), median(all, func(m measurement) float64 { return m.rate }),
				ms(median(all, func(m measurement) time.Duration { return m.p50 })), ms(median(all, func(m measurement) time.Duration { return m.p99 })),
				sum(all), median(all, func(m measurement) int64 { return m.rss })>>20)
		}
		tw.Flush()
		cost := func(name string) float64 {
			return median(t[name+"\x00"+l.name], func(m measurement) float64 { return m.cpu })
		}
		fmt.Fprintf(w, "%s costs %.1f times as much processor time as %s\n", theirs, cost(theirs)/cost(ours), ours)
	}
}

// sum of the refusals: one in any round is one too many.
func sum(all []measurement) (n int64) {
	for _, m := range all {
		n += m.refused
	}
	return n
}
