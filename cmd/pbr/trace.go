package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/interval"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
	"pbr/kernel"
	"pbr/kernel/nft"
)

const (
	// traceRate bounds the packets that are traced a second.
	traceRate = 50
	// traceTime bounds a trace, unless --time says otherwise; traceLongest bounds that.
	traceTime    = 30 * time.Second
	traceLongest = time.Hour
	// traceQuiet is after how long without news of a packet its way is over.
	traceQuiet = 100 * time.Millisecond
)

func (c command) traceCommand() *cli.Command {
	option := func(name, usage string) cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }
	return &cli.Command{
		Name:      "trace",
		Usage:     "show where real packets go, live, beside explain's answer",
		ArgsUsage: " ",
		Description: "Marks packets for tracing, with a temporary chain in pbr's table, and shows\n" +
			"what the kernel does with each: the policy that catches it, the uplink that\n" +
			"it leaves through, or the chain of any table that drops it; and whether\n" +
			"explain says the same. It ends after --count packets, after --time, or when\n" +
			"it is interrupted. Of many packets it shows 50 a second.",
		Flags: []cli.Flag{
			option("in", "only packets that arrive on this `INTERFACE`, or local for what the router itself sends"),
			option("src", "only from this `ADDRESS` or network"),
			option("dst", "only to this `ADDRESS` or network"),
			option("proto", "only of this `PROTOCOL`: tcp, udp, icmp, icmpv6, ..., or a number"),
			option("sport", "only from this source `PORT`"),
			option("dport", "only to this destination `PORT`"),
			&cli.IntFlag{Name: "count", Usage: "end after this `NUMBER` of packets"},
			&cli.DurationFlag{Name: "time", Value: traceTime, Usage: "end after this `TIME`"},
			jsonFlag(),
		},
		Action: c.runTrace,
	}
}

func (c command) runTrace(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	limit := ctx.Duration("time")
	if limit <= 0 || limit > traceLongest || ctx.Int("count") < 0 {
		return usageError("--time must be more than 0 and at most 1h, and --count not negative")
	}
	filter, err := readTraceFilter(ctx)
	if err != nil {
		return err
	}
	return withKernel(func(k *kernel.Kernel) error {
		f, err := c.loadShown(ctx, k)
		if err != nil {
			return err
		}
		stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer cancel()
		stop, cancelTime := context.WithTimeout(stop, limit)
		defer cancelTime()
		return c.trace(ctx, stop, k, f, filter)
	})
}

// trace shows packets until stop ends, and removes the chains.
func (c command) trace(ctx *cli.Context, stop context.Context, k *kernel.Kernel, f *policyFile, filter *nft.TraceFilter) (err error) {
	tracer, live, err := k.StartTrace(filter)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	defer func() { err = errors.Join(err, tracer.Close(), k.EndTrace()) }()
	v, err := c.openConnectionView(ctx, k, f, &connectionFilter{}) // -- the leftovers of a killed trace are removed by now
	if err != nil {
		return err
	}
	if !ctx.Bool("json") {
		fmt.Fprintf(c.stderr, "pbr: tracing for %s; interrupt it to end\n", ctx.Duration("time"))
	}
	evaluator, _ := walk.New(&live.Ruleset) // what others have put in may be beyond it: then explain alone knows the policy
	t := &traceShow{command: c, view: v, live: live, evaluator: evaluator, json: ctx.Bool("json"),
		left: ctx.Int("count"), packets: map[uint32]*tracedPacket{}}
	return t.run(stop, tracer)
}

// readTraceFilter reads the options.
func readTraceFilter(ctx *cli.Context) (*nft.TraceFilter, error) {
	var common []plan.Match
	families := map[plan.Family]bool{plan.IPv4: true, plan.IPv6: true}
	proto, err := traceProto(ctx)
	if err != nil {
		return nil, err
	}
	if proto != 0 {
		k := plan.KeyFromUint8(proto)
		common = append(common, plan.Match{Field: plan.FieldL4Proto, From: k, To: k})
	}
	for _, port := range []struct {
		name  string
		field plan.Field
	}{{"sport", plan.FieldSPort}, {"dport", plan.FieldDPort}} {
		if ctx.String(port.name) == "" {
			continue
		}
		if !policy.HasPorts(proto) {
			return nil, fmt.Errorf("--%s: a port needs a protocol that has ports: write --proto tcp or --proto udp", port.name)
		}
		n, err := policy.PacketPort("--"+port.name, ctx.String(port.name))
		if err != nil {
			return nil, err
		}
		k := plan.KeyFromUint16(n)
		common = append(common, plan.Match{Field: port.field, From: k, To: k})
	}
	addrs := map[plan.Family][]plan.Match{}
	for _, end := range []struct {
		name   string
		fields [2]plan.Field
	}{{"src", [2]plan.Field{plan.FieldIPSAddr, plan.FieldIP6SAddr}}, {"dst", [2]plan.Field{plan.FieldIPDAddr, plan.FieldIP6DAddr}}} {
		if ctx.String(end.name) == "" {
			continue
		}
		p, err := readPrefix(ctx.String(end.name))
		if err != nil {
			return nil, fmt.Errorf("--%s: invalid address %q: write one as 192.168.10.50 or 192.168.10.0/24",
				end.name, ctx.String(end.name))
		}
		family, at := plan.IPv4, 0
		if p.Addr().Is6() {
			family, at = plan.IPv6, 1
		}
		families = map[plan.Family]bool{family: families[family]}
		addrs[family] = append(addrs[family], plan.Match{Field: end.fields[at], From: plan.KeyFromAddr(p.Addr()),
			To: plan.KeyFromAddr(interval.LastAddr(p))})
	}
	return arrangeTrace(ctx.String("in"), common, addrs, families)
}

func traceProto(ctx *cli.Context) (uint8, error) {
	if ctx.String("proto") == "" {
		return 0, nil
	}
	return policy.PacketProto("--proto", ctx.String("proto"))
}

// arrangeTrace makes rules: one for each IP version that may match, so that an address of one does
// not select packets of the other.
func arrangeTrace(in string, common []plan.Match, addrs map[plan.Family][]plan.Match,
	families map[plan.Family]bool) (*nft.TraceFilter, error) {
	var rules [][]plan.Match
	for _, family := range plan.Families {
		if !families[family] {
			continue
		}
		rule := append([]plan.Match{plan.NFProto(family)}, addrs[family]...)
		rules = append(rules, append(rule, common...))
	}
	if len(rules) == 0 {
		return nil, errors.New("--src and --dst are of different IP versions")
	}
	f := &nft.TraceFilter{Rate: traceRate}
	switch in {
	case "":
		f.Arriving, f.Local = rules, rules
	case "local", "lo":
		f.Local = rules
	default:
		if err := policy.PacketInterface("--in", in); err != nil {
			return nil, err
		}
		name := plan.KeyFromString(in)
		for _, rule := range rules {
			f.Arriving = append(f.Arriving, append([]plan.Match{{Field: plan.FieldIIFName, From: name, To: name}}, rule...))
		}
	}
	return f, nil
}

// traceShow gathers the steps of packets, and shows each packet once.
type traceShow struct {
	command
	view *connectionView
	live *nft.Live
	// evaluator returns for which policy an element of a map counts; nil if that is unknown.
	evaluator *walk.Evaluator
	json      bool
	left      int // 0 is any number
	shown     bool
	packets   map[uint32]*tracedPacket
	order     []*tracedPacket
}

func (t *traceShow) run(stop context.Context, tracer *nft.Tracer) error {
	events := make(chan []nft.TraceEvent)
	failed := make(chan error, 1)
	go func() {
		for {
			list, err := tracer.Next()
			if err != nil {
				failed <- err
				return
			}
			select {
			case events <- list:
			case <-stop.Done():
				return
			}
		}
	}()
	tick := time.NewTicker(traceQuiet / 2)
	defer tick.Stop()
	for {
		select {
		case list := <-events:
			for i := range list {
				t.add(&list[i])
			}
		case <-tick.C:
			if done, err := t.show(time.Now().Add(-traceQuiet)); done || err != nil {
				return err
			}
		case err := <-failed:
			return err
		case <-stop.Done():
			_, err := t.show(time.Now())
			if !t.shown && err == nil {
				fmt.Fprintln(t.stderr, "pbr: no packet seen: did the host send? Offloaded packets are not shown")
			}
			return err
		}
	}
}

// add adds a step to its packet. A number that is used again is another packet.
func (t *traceShow) add(e *nft.TraceEvent) {
	p := t.packets[e.ID]
	if e.Begins() {
		p = &tracedPacket{local: e.Chain == nft.TraceLocalChain}
		t.packets[e.ID] = p
		t.order = append(t.order, p)
	}
	if p != nil { // not one of somebody else's trace
		p.step(e, t)
	}
}

// show shows the packets of which nothing was heard since; done reports whether those were all.
func (t *traceShow) show(since time.Time) (done bool, err error) {
	for len(t.order) > 0 && !t.order[0].last.After(since) {
		p := t.order[0]
		t.order = t.order[1:]
		for id, known := range t.packets {
			if known == p {
				delete(t.packets, id)
			}
		}
		t.shown = true
		if err := t.print(p); err != nil {
			return true, err
		}
		if t.left--; t.left == 0 {
			return true, nil
		}
		t.left = max(t.left, 0)
	}
	return false, nil
}
