package dataplane

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"
)

// arrivalPatience is how many milliseconds packets may take to the far end. Mostly they are there
// at once.
const arrivalPatience = 500

// warmUp is how many packets go before each measured block, to fill caches.
const warmUp = 2 * batch

// bench is all routers, and what they share.
type bench struct {
	t         testing.TB
	sink      *sink
	injector  *injector
	routers   []*measured
	selectors map[int][]selector
}

// measured is a configured router.
type measured struct {
	config
	*router
	// lost says which streams did not arrive, and why they do not count.
	lost map[cell]string
}

// cell names a column of the table.
type cell struct {
	stream
	family family
}

func (c cell) String() string { return fmt.Sprintf("%s, %s", c.family, c.name) }

func newBench(t testing.TB) *bench {
	t.Helper()
	s, err := newSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return &bench{t: t, sink: s, injector: newInjector(t), selectors: map[int][]selector{}}
}

// add sets a router up.
func (b *bench) add(c config) *measured {
	b.t.Helper()
	m := &measured{config: c, router: newRouter(b.t, b.sink), lost: map[cell]string{}}
	if c.setUp != nil {
		c.setUp(b.t, m.router, b.selected(c.n))
	}
	if !c.plain { // the first of these loads conntrack
		// connections outlive the measurement
		m.Sysctl("net/netfilter/nf_conntrack_udp_timeout", "3600")
		m.Sysctl("net/netfilter/nf_conntrack_udp_timeout_stream", "3600")
	}
	b.routers = append(b.routers, m)
	return m
}

func (b *bench) selected(n int) []selector {
	if b.selectors[n] == nil {
		b.selectors[n] = selectors(n)
	}
	return b.selectors[n]
}

// source returns what is put into this router for a cell, and the device that it should leave
// through.
func (m *measured) source(c cell) (s source, out int) {
	s = source{stream: c.stream, family: c.family, n: m.n, in: lanIndex, direct: m.plain}
	uplink := wan1Index
	if c.matched && m.steers {
		uplink = wan2Index
	}
	if !c.down {
		return s, uplink
	}
	s.in = uplink
	return s, lanIndex
}

// block is one measurement.
type block struct {
	cost    time.Duration // CPU time, of all packets
	packets int
	arrived uint64 // by the right device
}

func (b block) perPacket() float64 { return float64(b.cost) / float64(b.packets) }

// send puts n packets of a source into a router, on a thread of its own, and counts what leaves
// through a device. Before them it sends the source's frames up to number first.
func (b *bench) send(m *measured, s source, out, first, n int) (r block) {
	b.t.Helper()
	if _, loaded := b.injector.spans[s]; !loaded {
		if err := b.injector.load(s, s.frames(b.selected(s.n))); err != nil {
			b.t.Fatal(err)
		}
	}
	var before, after [sinkDevices]uint64
	var err error
	m.Do(func() {
		err = pin()
		if err == nil && first > 0 {
			_, _, err = b.injector.run(s, 0, first)
		}
		if err == nil {
			before, err = b.sink.arrived()
		}
		if err == nil {
			r.cost, r.packets, err = b.injector.run(s, first, n)
		}
		for range arrivalPatience {
			if after, err = b.sink.arrived(); err != nil || after[out]-before[out] >= uint64(r.packets) || s.floor {
				break
			}
			time.Sleep(time.Millisecond) // a kernel thread hands the last of them over
		}
	})
	if err != nil {
		b.t.Fatalf("%s: %v", m.name, err)
	}
	r.arrived = after[out] - before[out]
	return r
}

// measure runs one block of a cell. A row counts only while every packet arrives.
func (b *bench) measure(m *measured, c cell, n int) block {
	b.t.Helper()
	s, out := m.source(c)
	if c.fresh {
		n = min(n, freshFlows-warmUp)
	}
	if c.fresh && !m.plain {
		m.forget()
	}
	r := b.send(m, s, out, warmUp, n)
	if r.arrived < uint64(r.packets) { // more are late ones of the warm-up
		m.lost[c] = fmt.Sprintf("%d of %d packets arrived", r.arrived, r.packets)
	}
	return r
}

// floor measures what the packets of a cell cost without the router's work. It can be done in any
// router.
func (b *bench) floor(m *measured, c cell, n int) float64 {
	b.t.Helper()
	s, _ := m.source(c)
	s.floor = true
	return b.send(m, s, lanIndex, warmUp, n).perPacket()
}

// establish makes the connections of the established streams known to a router, both directions
// having been seen.
func (b *bench) establish(m *measured) {
	b.t.Helper()
	for range 2 {
		for _, f := range []family{v4, v6} {
			for _, st := range streams {
				if !st.fresh {
					s, out := m.source(cell{st, f})
					b.send(m, s, out, 0, establishedFlows)
				}
			}
		}
	}
}

// forget empties the router's connection table.
func (m *measured) forget() {
	var err error
	m.Do(func() {
		var c *conntrack.Conn
		if c, err = conntrack.Dial(nil); err == nil {
			defer c.Close()
			err = c.Flush()
		}
	})
	if err != nil {
		m.T().Fatalf("%s: forgetting connections: %v", m.name, err)
	}
}

// The size of a block: as many packets as take blockTime, within these bounds.
const (
	blockTime  = 16 * time.Millisecond
	minPackets = 2 * batch
	maxPackets = 256 * batch
)

// size returns how many packets a block of a cell should have.
func (b *bench) size(m *measured, c cell) int {
	b.t.Helper()
	cost := b.measure(m, c, minPackets).perPacket()
	n := int(math.Ceil(float64(blockTime)/cost/batch)) * batch
	return max(minPackets, min(n, maxPackets))
}
