package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	lib "github.com/ti-mo/conntrack"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/internal/fault"
	"pbr/kernel/route"
)

// faultPolicy is a policy for the interfaces of newKernel; numbers, names and the list are what two
// of them differ in.
func faultPolicy(rng *rand.Rand) string {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	second, strict := pick("isp2", "isp2", "tunnel"), pick("secret", "vault")
	distance, list := 1+2*rng.IntN(2), `"10.1.0.0/16", "10.2.0.5"`
	if rng.IntN(2) == 0 {
		list = `"10.1.0.7", "10.2.0.5", "10.3.0.1"` // a set of another type: it is recreated
	}
	return fmt.Sprintf(`[pbr]
sysctl = true
offload = "off"
mark-mask = %s
rule-priority = %s
reverse-path = %q
[lists]
some = [%s]
[[uplink]]
name = "isp1"
interface = "w1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = %q
interface = "w2"
gateway = "198.51.100.1"
nat = "masquerade"
[[table]]
name = %q
strict = true
routes = { uplink = %q }
[[table]]
name = %q
routes = { uplink = "isp1" }
[default]
routes = [{ uplink = "isp1", distance = 2 }, { uplink = %q, distance = %d }]
[[policy]]
name = "some"
src = "@some"
table = %q
`, pick("0xff000000", "0x00ff0000", "0x000000f8"), pick("10000", "12000", "8000"), pick("kernel", "nft"), list,
		second, strict, second, "t"+fmt.Sprint(rng.IntN(20)), second, distance, strict)
}

// compileFor makes a policy's plan for the namespace.
func compileFor(t *testing.T, k *Kernel, text string) *plan.Plan {
	t.Helper()
	doc, ds := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if ds.HasErrors() {
		t.Fatalf("%v\n%s", ds, text)
	}
	m, err := k.HostFacts(compiler.Needs(doc))
	must(t, err)
	p, ds := compiler.Compile(doc, m, nil)
	if p == nil {
		t.Fatalf("%v\n%s", ds, text)
	}
	return p
}

// marksByName lists connections by their source and what their mark means to a plan.
func marksByName(t *testing.T, c *lib.Conn, p *plan.Plan) string {
	t.Helper()
	flows, err := c.Dump(nil)
	must(t, err)
	out := map[string]string{}
	for _, f := range flows {
		name := "none"
		for _, n := range p.Numbers {
			if n.Mark != 0 && f.Mark&p.Mask == n.Mark {
				name = n.Interface + "/" + strings.Join(strings.Split(n.Name, "/")[1:], "")
			}
		}
		if f.Mark&^p.Mask != 0 {
			name += fmt.Sprintf(" and 0x%x", f.Mark&^p.Mask)
		}
		out[f.TupleOrig.IP.SourceAddress.String()] = name
	}
	return fmt.Sprint(out)
}

var errInjected = errors.New("injected")

// faulty applies a plan while the nth message fails; it tells which one that was, empty if there
// are not as many.
func faulty(k *Kernel, want *plan.Plan, n int) (what string, err error) {
	left := n
	fault.Set(func(w string) error {
		if left--; left == 0 {
			what = w
			return errInjected
		}
		return nil
	})
	defer fault.Set(nil)
	_, err = k.Apply(context.Background(), want)
	return what, err
}

// faultState is everything that an apply may change. The order of rules of one priority has no
// meaning, nor which of its two names a set has.
func faultState(t *testing.T) string {
	lines := strings.Split(strings.ReplaceAll(everything(t), "/alt", ""), "\n")
	slices.Sort(lines)
	out := strings.Join(lines, "\n")
	for _, path := range faultSettings {
		v, err := route.ReadSysctl("net/ipv4/" + path)
		must(t, err)
		out += path + " = " + v + "\n"
	}
	return out
}

var faultSettings = []string{
	"ip_forward", "fib_multipath_hash_policy", "conf/all/rp_filter", "conf/all/accept_local",
	"conf/all/accept_redirects", "conf/all/ignore_routes_with_linkdown",
	"conf/w1/rp_filter", "conf/w1/accept_local", "conf/w1/forwarding", "conf/w1/src_valid_mark", "conf/w2/rp_filter", "conf/w2/forwarding",
}

// faultsEnv is how many messages of each pair fail, for a longer run.
const faultsEnv = "PBR_TEST_FAULTS"

// TestAnyMessageMayFail lets each message of applies fail, one at a time: afterwards the namespace
// and the connections are as before when the error says so, and as the policy wants when there is
// none.
func TestAnyMessageMayFail(t *testing.T) {
	k := newKernel(t)
	c := newConntrack(t)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	messages := 4
	if text := os.Getenv(faultsEnv); text != "" {
		messages, _ = strconv.Atoi(text)
	}
	for range 3 {
		texts := [2]string{faultPolicy(rng), faultPolicy(rng)}
		plans := [2]*plan.Plan{}
		for i := range texts {
			must(t, c.Flush())
			_, err := k.Flush(context.Background())
			must(t, err)
			plans[i] = compileFor(t, k, texts[i])
		}
		total := countMessages(t, k, plans)
		step := max(1, total/messages)
		for n := 1 + rng.IntN(step); n <= total; n += step {
			oneFault(t, k, c, plans, n)
			if t.Failed() {
				t.Fatalf("seed %d, message %d of %d\nfrom:\n%s\nto:\n%s", seed, n, total, texts[0], texts[1])
			}
		}
	}
}

// countMessages returns how many messages an apply of the second plan after the first takes.
func countMessages(t *testing.T, k *Kernel, plans [2]*plan.Plan) (total int) {
	t.Helper()
	apply(t, k, plans[0])
	fault.Set(func(string) error { total++; return nil })
	defer fault.Set(nil)
	apply(t, k, plans[1])
	return total
}

// oneFault applies the first plan, and then the second one with its nth message failing.
func oneFault(t *testing.T, k *Kernel, c *lib.Conn, plans [2]*plan.Plan, n int) {
	t.Helper()
	must(t, c.Flush())
	apply(t, k, plans[0])
	i := 0
	for _, number := range plans[0].Numbers {
		if number.Interface != "" || number.Mark == 0 {
			i++
			src := fmt.Sprintf("10.7.0.%d", i)
			must(t, c.Create(lib.NewFlow(17, 0, netip.MustParseAddr(src), netip.MustParseAddr("8.8.8.8"),
				uint16(1000+i), 53, 600, number.Mark)))
		}
	}
	before, marks := faultState(t), marksByName(t, c, plans[0])
	what, err := faulty(k, plans[1], n)
	var failed *ApplyError
	switch {
	case err == nil:
		holds(t, k, plans[1])
		apply(t, k, plans[0]) // the marks follow, also those of an apply that had to do without
		apply(t, k, plans[1])
	case strings.HasPrefix(err.Error(), "the policy is in force"):
		apply(t, k, plans[1])
	case errors.As(err, &failed) && failed.Undo != nil:
		t.Errorf("%s: %v", what, err)
	default:
		if after := faultState(t); after != before {
			t.Errorf("%s: %v, but it is not as before:\n%s\nbefore:\n%s", what, err, after, before)
		}
		if after := marksByName(t, c, plans[0]); after != marks {
			t.Errorf("%s: %v, but connections are %s, not %s", what, err, after, marks)
		}
		apply(t, k, plans[1])
	}
	holds(t, k, plans[1])
}
