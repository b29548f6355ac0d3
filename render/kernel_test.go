package render

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pbr/compiler/plan"
)

// These tests give rendered text to the programs that it is for, in network namespaces of their
// own.

var namespaces atomic.Int32

// newNamespace makes a network namespace that goes when the test ends.
func newNamespace(t *testing.T) namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := namespace{t, fmt.Sprintf("pbr-render-%d-%d", os.Getpid(), namespaces.Add(1))}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Fatalf("adding network namespace: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", n.name).CombinedOutput(); err != nil {
			t.Errorf("deleting network namespace: %v: %s", err, out)
		}
	})
	return n
}

type namespace struct {
	t    *testing.T
	name string
}

// try runs a program inside with input, and returns its output and what it said on stderr.
func (n namespace) try(input, program string, args ...string) (stdout, stderr string, err error) {
	n.t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", n.name, program}, args...)...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &errs
	err = c.Run()
	return out.String(), errs.String(), err
}

// run is try that ends the test on failure.
func (n namespace) run(input, program string, args ...string) string {
	n.t.Helper()
	out, errs, err := n.try(input, program, args...)
	if err != nil {
		n.t.Fatalf("%s %q: %v\n%s\n%s", program, args, err, errs, input)
	}
	return out
}

// links makes eth1 and eth2, up and with the addresses that wideRoutes wants.
func (n namespace) links() {
	n.t.Helper()
	n.run(`set -e
for i in 1 2; do
	ip link add eth$i type veth peer name peer$i
	ip link set eth$i up
	ip link set peer$i up
	ip -6 addr add 2001:db8:$i::2/64 dev eth$i nodad
done
ip addr add 192.0.2.2/24 dev eth1
ip addr add 198.51.100.2/24 dev eth2
`, "sh")
}

func text(t *testing.T, write func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func nftText(t *testing.T, p *plan.Plan) string {
	return text(t, func(b *bytes.Buffer) error { return NFT(b, p) })
}

func ipText(t *testing.T, p *plan.Plan) string {
	return text(t, func(b *bytes.Buffer) error { return IP(b, p) })
}

func scriptText(t *testing.T, p *plan.Plan) string {
	return text(t, func(b *bytes.Buffer) error { return Script(b, p) })
}

// TestKernelNFT loads a ruleset of everything twice, and compares each rule with what nft lists for
// it.
func TestKernelNFT(t *testing.T) {
	n := newNamespace(t)
	p := widePlan()
	in := nftText(t, p)
	n.run(in, "nft", "-f", "-")
	first := n.run("", "nft", "list", "ruleset")
	t.Run("loaded twice it is the same", func(t *testing.T) {
		n.run(in, "nft", "-f", "-")
		if second := n.run("", "nft", "list", "ruleset"); second != first {
			t.Errorf("loaded twice it lists\n%s\nnot\n%s", second, first)
		}
	})
	for prefix, cases := range map[string][]ruleCase{"match": matchCases(), "action": actionCases(),
		"choice": choiceCases(), "tuple": tupleCases(), "nat": natCases(), "program": programCases()} {
		for i, c := range cases {
			t.Run(fmt.Sprint(prefix, i), func(t *testing.T) {
				comment := fmt.Sprintf(` comment "%s %d"`, prefix, i)
				if !strings.Contains(first, "\t\t"+c.listed+comment+"\n") {
					t.Errorf("nft does not list %s%s", c.listed, comment)
				}
			})
		}
	}
	for _, s := range p.Ruleset.Sets {
		t.Run("set "+s.Name, func(t *testing.T) {
			if s.Type == plan.TypeTime {
				return // nft lists times in words; that it holds the same is shown in kernel/nft
			}
			listed := n.run("", "nft", "-n", "list", setKind(&s), "inet", plan.TableName, s.Name)
			if got, want := elementsOf(listed),
				elementsOf(strings.ReplaceAll(string(appendSet(nil, &s)), `\*`, `*`)); !slices.Equal(got, want) {
				t.Errorf("set %s lists %q, not %q", s.Name, got, want)
			}
			if s.Comment != "" && !strings.Contains(listed, `comment "`+s.Comment+`"`) {
				t.Errorf("set %s lists without its comment:\n%s", s.Name, listed)
			}
		})
	}
	t.Run("counters have their comments", func(t *testing.T) {
		if !strings.Contains(first, "comment \"policy voip\"\n\t\tpackets 0 bytes 0") {
			t.Errorf("the counter lists without its comment:\n%s", first)
		}
	})
	t.Run("an empty plan leaves nothing", func(t *testing.T) {
		n.run(nftText(t, &plan.Plan{}), "nft", "-f", "-")
		if left := n.run("", "nft", "list", "ruleset"); left != "" {
			t.Errorf("an empty plan leaves\n%s", left)
		}
	})
}

// elementsOf returns the elements of a set's text, sorted, numbers for the names that nft -n has
// none for.
func elementsOf(set string) []string {
	_, elements, ok := strings.Cut(set, "elements = {")
	if !ok {
		return nil
	}
	elements, _, _ = strings.Cut(elements, "}")
	var out []string
	for _, e := range strings.Split(elements, ",") {
		e = strings.Replace(strings.TrimSpace(e), "counter packets 0 bytes 0 ", "", 1)
		words := strings.Split(e, " ")
		for i, w := range words {
			if number, ok := map[string]string{"tcp": "6", "udp": "17", "icmpv6": "58", "broadcast": "3", "multicast": "5"}[w]; ok {
				words[i] = number
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	slices.Sort(out)
	return out
}

// TestKernelIP runs the ip commands twice and compares with what ip lists.
func TestKernelIP(t *testing.T) {
	n := newNamespace(t)
	n.links()
	n.run("", "ip", "-4", "rule", "add", "priority", "9000", "from", "10.9.0.0/16", "lookup", "77")
	in := ipText(t, widePlan())
	for _, line := range strings.Split(strings.TrimSpace(in), "\n") {
		if !regexp.MustCompile(`^(# .*|ip -[46] (route replace|rule add|rule flush) .*protocol? 112.*|ip -[46] ` +
			`route replace .* proto 112 .*)$`).MatchString(line) {
			t.Errorf("odd line %q", line)
		}
	}
	n.run(in, "sh", "-eu")
	checkRoutesAndRules(t, n, in)
	n.run(in, "sh", "-eu")
	checkRoutesAndRules(t, n, in)
	if !strings.Contains(n.run("", "ip", "-4", "rule"), "9000:\tfrom 10.9.0.0/16 lookup 77") {
		t.Error("a foreign rule is gone")
	}
}

// checkRoutesAndRules compares the commands of in with the kernel's routes and rules of protocol
// 112.
func checkRoutesAndRules(t *testing.T, n namespace, in string) {
	t.Helper()
	for _, f := range []string{"-4", "-6"} {
		routes := lines(n.run("", "ip", f, "-o", "route", "show", "table", "all", "proto", "112"), normalRoute)
		if want := commands(in, "ip "+f+" route replace ", normalRoute); !slices.Equal(routes, want) {
			t.Errorf("ip %s route has\n%s\nwanted\n%s", f, strings.Join(routes, "\n"), strings.Join(want, "\n"))
		}
		var rules []string
		for _, r := range lines(n.run("", "ip", f, "rule", "show"), normalRule) {
			if strings.HasSuffix(r, " protocol 112") {
				rules = append(rules, r)
			}
		}
		if want := commands(in, "ip "+f+" rule add ", normalRule); !slices.Equal(rules, want) {
			t.Errorf("ip %s rule has\n%s\nwanted\n%s", f, strings.Join(rules, "\n"), strings.Join(want, "\n"))
		}
	}
}

func lines(s string, normal func(string) string) []string {
	var out []string
	for l := range strings.Lines(strings.TrimSpace(s)) {
		out = append(out, normal(l))
	}
	slices.Sort(out)
	return out
}

// commands returns the arguments of those lines of in that begin with prefix.
func commands(in, prefix string, normal func(string) string) []string {
	var out []string
	for _, l := range strings.Split(in, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), prefix); ok {
			out = append(out, normal(rest))
		}
	}
	slices.Sort(out)
	return out
}

var (
	listedOnly = regexp.MustCompile(` pref medium|\\|scope link |dev lo |proto 112 ?`)
	spaces     = regexp.MustCompile(`\s+`)
)

// normalRoute is a route without what the listing or the command alone has.
func normalRoute(s string) string {
	return strings.TrimSpace(spaces.ReplaceAllString(listedOnly.ReplaceAllString(s, ""), " "))
}

// normalRule is a rule in the form of the command.
func normalRule(s string) string {
	s = spaces.ReplaceAllString(strings.TrimSpace(s), " ")
	s = regexp.MustCompile(`^(\d+): `).ReplaceAllString(s, "priority $1 ")
	s = regexp.MustCompile(` proto (\d+)$`).ReplaceAllString(s, " protocol $1")
	return strings.NewReplacer(" ipproto tcp", " ipproto 6", " ipproto udp", " ipproto 17", " fwmark 0/", " fwmark 0x00000000/").Replace(s)
}
