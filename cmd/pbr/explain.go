package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"pbr/cmd/pbr/cli"
	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/conntrack"
	"pbr/render"
)

func (c command) explainCommand() *cli.Command {
	option := func(name, usage string) cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }
	return &cli.Command{
		Name:      "explain",
		Usage:     "show where a packet goes, and why",
		ArgsUsage: "[SOURCE DESTINATION[:PORT][/PROTOCOL]]",
		Description: "Shows one packet's route: the policy or rule that catches it, with its place\n" +
			"in the file, table, uplink, marks, NAT, how the answer comes back, and what\n" +
			"happens if the uplink fails. As root it reads the kernel's rules, routes and\n" +
			"sets, and the uplinks' health; it changes nothing. Without root, or with\n" +
			"--offline, it answers from the policy alone: main's routes are unknown, all\n" +
			"uplinks count as usable.\n" +
			"Short form: pbr explain 192.168.10.50 8.8.8.8:443/tcp. Instead of an address\n" +
			"you can write a host's or a list's name.",
		Flags: []cli.Flag{
			option("in", "the `INTERFACE` that it arrives on, or local for what the router itself sends"),
			option("src", "the sender's `ADDRESS`"),
			option("dst", "the destination's `ADDRESS`"),
			option("proto", "the `PROTOCOL`: tcp, udp, icmp, icmpv6, ..., or a number"),
			option("sport", "the source `PORT`"),
			option("dport", "the destination `PORT`"),
			option("state", "`STATE` of the connection: new, which is the default, or established"),
			option("pinned", "the `UPLINK` that an established connection is pinned to"),
			option("mac", "the sender's MAC `ADDRESS`"),
			option("uid", "the sending `USER`, with --in local"),
			option("gid", "the sending `GROUP`, with --in local"),
			option("cgroup", "the sending control group's `PATH` (system.slice/transmission.service), with --in local"),
			option("dscp", "the `DSCP`, such as ef or 46"),
			option("icmp-type", "the ICMP `TYPE`, such as echo-request, which is the default"),
			option("mark", "a packet `MARK` set by others"),
			option("at", "the `TIME`, as 2006-01-02 15:04"),
			&cli.BoolFlag{Name: "offline", Usage: "answer from the policy alone"},
			&cli.BoolFlag{Name: "verbose", Usage: "say of every earlier policy why it did not match"},
			option("batch", "answer questions from a `FILE`, one line of JSON each, or - for standard input; the keys are the options"),
			jsonFlag(),
		},
		Action: c.runExplain,
	}
}

func (c command) runExplain(ctx *cli.Context) error {
	if ctx.Bool("offline") || os.Geteuid() != 0 {
		return c.explainOffline(ctx)
	}
	return withKernel(func(k *kernel.Kernel) error {
		f, err := c.loadShown(ctx, k)
		if err != nil {
			return err
		}
		x, err := c.liveExplainer(f, k)
		if errors.Is(err, fs.ErrPermission) { // root of a container, without CAP_NET_ADMIN
			fmt.Fprintf(c.stderr, "pbr: warning: %v: answering from the policy alone\n", err)
			x, err = offlineExplainer(f.doc)
		}
		if err != nil {
			return err
		}
		return c.explainWith(ctx, f, x, func(q *explain.Question) { c.lookUp(k, x, q) })
	})
}

func (c command) explainOffline(ctx *cli.Context) error {
	f, err := c.loadValid(ctx)
	if err != nil {
		return err
	}
	x, err := offlineExplainer(f.doc)
	if err != nil {
		return err
	}
	return c.explainWith(ctx, f, x, func(*explain.Question) {})
}

// lookUp tells a question about its connection, if the kernel tracks it.
func (c command) lookUp(k *kernel.Kernel, x *explain.Explainer, q *explain.Question) {
	o, whole := q.Opening()
	if !whole {
		return
	}
	flow, err := k.Flow(&conntrack.Tuple{Src: o.Src, Dst: o.Dst, Proto: o.Proto, SPort: o.SPort, DPort: o.DPort, HasPorts: true})
	switch {
	case err != nil:
		fmt.Fprintf(c.stderr, "pbr: warning: %v\n", err)
	case flow != nil:
		x.Tracked(q, flow.Mark)
	}
}

// explainWith answers what is asked; complete adds what the kernel knows to a single question.
func (c command) explainWith(ctx *cli.Context, f *policyFile, x *explain.Explainer, complete func(*explain.Question)) error {
	if ctx.IsSet("batch") {
		if ctx.String("batch") == "" {
			return usageError("--batch needs a value: a file, or - for standard input")
		}
		if ctx.Args().Len() > 0 {
			return usageError("--batch takes its questions from a file, and no arguments")
		}
		return c.explainBatch(x, ctx.String("batch"))
	}
	t, err := question(ctx)
	if err != nil {
		return err
	}
	q, err := x.Read(t, resolver())
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	complete(q)
	a, err := x.Answer(q)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	if ctx.Bool("json") {
		_, err = c.stdout.Write(append(a.AppendJSON(nil, "0"), '\n'))
		return err
	}
	return render.Story(c.stdout, x.Story(a, f.text.Source(f.display), ctx.Bool("verbose")), colour(c.stdout))
}

// offlineExplainer prepares a policy alone.
func offlineExplainer(doc *policy.Document) (*explain.Explainer, error) {
	compiled := compiler.New(doc)
	host := anyMachine()
	p, problems := compiled.Compile(host, nil)
	if p == nil {
		return nil, problems[0]
	}
	return explain.New(doc, p, p, explain.Live{Now: host.Now, Zone: host.Zone, Failing: func(uplink string) *plan.Plan {
		p, _ := compiled.Compile(host, compiler.Down(map[string]int{uplink: 1}))
		return p
	}})
}

// question is what options and arguments ask.
func question(ctx *cli.Context) (*explain.Text, error) {
	var t explain.Text
	for _, key := range explain.Keys {
		if ctx.IsSet(key) {
			if ctx.String(key) == "" {
				return nil, usageError("--%s needs a value", key)
			}
			t.Set(key, ctx.String(key))
		}
	}
	args := ctx.Args().Slice()
	switch len(args) {
	case 0:
		return &t, nil
	case 1:
		args = []string{"local", args[0]}
	case 2:
	default:
		return nil, usageError("explain takes a source and a destination, but got %d arguments", len(args))
	}
	if ctx.IsSet("src") || ctx.IsSet("dst") {
		return nil, usageError("name source and destination either as arguments or by --src and --dst")
	}
	return &t, shortForm(&t, args[0], args[1])
}

// shortForm reads SOURCE[:PORT] and DESTINATION[:PORT][/PROTOCOL].
func shortForm(t *explain.Text, src, dst string) error {
	if src == "local" {
		t.Set("in", "local")
	} else {
		host, port, err := hostPort(src)
		if err != nil {
			return err
		}
		t.Set("src", host)
		if port != "" {
			t.Set("sport", port)
		}
	}
	dst, proto, named := strings.Cut(dst, "/")
	if named && proto == "" {
		return usageError("%s/: a protocol is missing after the slash: write %s/tcp, or omit the slash", dst, dst)
	}
	host, port, err := hostPort(dst)
	if err == nil && named {
		err = ambiguousPort(dst, proto)
	}
	if err != nil {
		return err
	}
	t.Set("dst", host)
	if port != "" {
		t.Set("dport", port)
	}
	set := func(key string) bool { return t.Get(key) != "" }
	switch {
	case proto != "":
		t.Set("proto", proto)
	case set("proto"):
	case port != "":
		return usageError("%s: a port needs a protocol: write %s/tcp or %s/udp", dst, dst, dst)
	default:
		t.Set("proto", explain.Ping)
	}
	return nil
}

// hostPort takes HOST:PORT or [HOST]:PORT apart; an IPv6 address without brackets has no port.
func hostPort(s string) (host, port string, err error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, "", nil
	}
	host, rest, isWhole := s, "", true
	if inner, isBracketed := strings.CutPrefix(s, "["); isBracketed {
		host, rest, isWhole = strings.Cut(inner, "]")
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, rest = s[:i], s[i:]
	}
	port, hasPort := strings.CutPrefix(rest, ":")
	if !isWhole || rest != "" && !hasPort || hasPort && port == "" || host == "" {
		return "", "", usageError("invalid address %q: write 192.0.2.7, 192.0.2.7:443, 2001:db8::7, or [2001:db8::7]:443", s)
	}
	return host, port, nil
}

// ambiguousPort refuses an IPv6 address without brackets whose end may be a port, with a protocol
// that has ports: 2001:db8::1:443/tcp is an address as it stands (RFC 5952, section 6).
func ambiguousPort(dst, proto string) error {
	number, unknown := policy.PacketProto("proto", proto)
	end := strings.LastIndexByte(dst, ':')
	if unknown != nil || !policy.HasPorts(number) || end < 0 {
		return nil
	}
	shorter, port := dst[:end], dst[end+1:]
	_, bad := netip.ParseAddr(dst)
	_, badShorter := netip.ParseAddr(shorter)
	if _, notPort := strconv.ParseUint(port, 10, 16); bad != nil || badShorter != nil || notPort != nil {
		return nil
	}
	return usageError("%s/%s: is %s a port? write [%s]:%s/%[2]s, or [%[1]s]/%[2]s for the address alone",
		dst, proto, port, shorter, port)
}

// resolver looks hosts up, each once.
func resolver() explain.Resolver {
	return func(host string) (addrs []netip.Addr) {
		names, err := net.LookupHost(host)
		if err != nil {
			return nil
		}
		for _, name := range names {
			if a, err := netip.ParseAddr(name); err == nil {
				addrs = append(addrs, a)
			}
		}
		return addrs
	}
}
