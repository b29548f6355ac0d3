package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pbr/integration/lab"
)

// How long TestChaos continues; chaosEnv overrides it, as PBR_CHAOS=10m. What it does depends on
// the seed (seedEnv).
const (
	chaosTime = 20 * time.Second
	chaosEnv  = "PBR_CHAOS"
)

// chaosEdits are what an operator appends to the policy. None changes the numbers of tables, or
// what the strict policy does.
var chaosEdits = []string{
	"",
	"\n[[policy]]\nname = \"more\"\nsrc = \"192.168.10.10\"\nuplink = \"isp2\"\n",
	"\n[[policy]]\nname = \"web\"\nsrc = \"192.168.10.0/24\"\nproto = \"tcp\"\ndport = [80, 443]\ntable = \"to-isp2\"\n",
	"\n[lists]\nmany = [\"10.1.0.0/16\", \"10.3.0.0/17\", \"172.20.1.1\"]\n[[policy]]\nname = \"listed\"\n" +
		"dst = \"@many\"\nuplink = \"isp1\"\n",
}

// foreignChaos is what others have on the router of TestChaos: nothing that goes with an uplink's
// link.
const foreignChaos = somebodyElse + `table inet nat2 {
	chain post {
		type nat hook postrouting priority 90; policy accept;
		ip daddr 10.88.0.0/16 masquerade
	}
}
`

// chaos is a router that everybody meddles with at once.
type chaos struct {
	*watched
	until time.Time
	seed  uint64
	// policy is what every policy of the operator starts with.
	policy string
	leaks  *leaks

	mu sync.Mutex // of cmd, which actors share
}

// Whatever happens at once on a router, one apply puts it right: programs are killed, policies
// tried, confirmed and undone, uplinks ordered up and down, links and addresses come and go, others
// delete what is pbr's, and the disk below /run/pbr is full. Others' state stays byte for byte, and
// no strict connection leaves through another uplink but while others' deletion is not repaired.
func TestChaos(t *testing.T) {
	t.Parallel()
	c := newChaos(t)
	var actors sync.WaitGroup
	for i, act := range []func(*rand.Rand){c.lifecycle, c.operate, c.operate, c.network, c.meddle, c.fillDisk} {
		r := rand.New(rand.NewPCG(c.seed, uint64(i)))
		actors.Go(func() {
			for time.Now().Before(c.until) && !t.Failed() {
				act(r)
			}
		})
	}
	stop := c.leaks.watch()
	actors.Wait()
	stop()
	if !t.Failed() {
		c.calm()
		c.inForce()
	}
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	limit := chaosTime
	if text := os.Getenv(chaosEnv); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", chaosEnv, err)
		}
	}
	c := &chaos{watched: newWatched(t, watchPolicy, 2), seed: testSeed(t), policy: "[pbr]\noffload = \"off\"\n" + watchPolicy}
	c.smallDisk()
	c.Router.NFT(foreignChaos)
	c.Router.IP(
		"rule add priority 9999 from 10.77.0.0/16 lookup 200",
		"rule add priority 11000 fwmark 0x4/0x4 lookup 201 protocol static",
		"route add 10.88.0.0/16 via 192.168.10.10",
		"route add unreachable default metric 4000 table 201 proto static",
		"route add 10.89.0.0/16 via 192.168.10.10 proto bird table 200",
	)
	c.Router.IP6("rule add priority 9999 from 2001:db8:77::/48 lookup 200", "route add 2001:db8:88::/48 via 2001:db8:10::10")
	c.connect()
	c.router.apply(c.policy)
	c.leaks = newLeaks(c.watched)
	c.start()
	c.waitState("isp2", "up")
	c.until = time.Now().Add(limit)
	return c
}

// connect gives the uplinks what changes of links and addresses removed, and main its default route
// by the first, which is where a leak would go.
func (c *chaos) connect() {
	for _, isp := range c.Spec.ISPs {
		c.Router.Run("ip", "link", "set", isp.Iface, "up")
		c.Router.Run("ip", "address", "replace", isp.Router4.String(), "dev", isp.Iface)
		c.Router.Run("ip", "-6", "address", "replace", isp.Router6.String(), "dev", isp.Iface)
	}
	c.Router.Run("ip", "route", "replace", "default", "via", c.Spec.ISPs[0].Gateway4.String(), "dev", c.Spec.ISPs[0].Iface)
}

// others is everything on the router that is not pbr's, in an order that does not tell what was
// recreated, without counts of packets.
func (c *chaos) others() string {
	return sortLines(countPattern.ReplaceAllString(c.router.foreign(), ""))
}

var countPattern = regexp.MustCompile(`packets \d+ bytes \d+`)

// calm ends what still continues, and puts the machine itself right; nothing is done to pbr but
// that its last trial ends.
func (c *chaos) calm() {
	c.t.Helper()
	c.emptyDisk()
	c.connect()
	for _, isp := range c.Spec.ISPs {
		c.ISPs[isp.Name].Exec("nft", "flush", "set", "inet", "trouble", "dead")
	}
	lab.WaitFor(c.t, "the last trial to end", func() bool {
		if _, err := os.Stat(filepath.Join(c.Router.StateDir(), "pending.json")); os.IsNotExist(err) {
			return true
		}
		c.router.pbr("revert")
		return false
	})
}

// inForce holds what the test is about: one apply, and all is as it is to be.
func (c *chaos) inForce() {
	c.t.Helper()
	c.router.write(c.policy)
	for _, isp := range c.Spec.ISPs {
		c.router.pbr("uplink", isp.Name, "auto")
	}
	c.router.must("apply")
	if c.running() {
		for _, isp := range c.Spec.ISPs {
			c.waitState(isp.Name, "up")
		}
		lab.WaitFor(c.t, "the kernel to hold the plan", func() bool { return c.router.pbr("diff").Code == 0 })
		c.stop()
	}
	c.router.inSync()
	if d := diffLines(c.leaks.foreign, c.others()); d != "" {
		c.t.Errorf("others have now:\n%s", d)
	}
	c.leaks.report()
	if isp := c.arrives(byStrict); isp != "isp2" {
		c.t.Errorf("a strict connection arrives at %q", isp)
	}
	c.asNew()
}

// asNew compares what is there with what a first apply makes, and looks what a flush leaves.
func (c *chaos) asNew() {
	c.t.Helper()
	have := c.router.ours()
	c.router.must("flush")
	if left := c.Router.Run("nft", "list", "tables") + c.Router.Run("ip", "rule") + c.Router.Run("ip", "-6", "rule") +
		c.Router.Run("ip", "route", "show", "table", "all", "proto", ownProtocol); strings.Contains(left, "inet pbr") ||
		strings.Contains(left, "proto 112") {
		c.t.Errorf("flush leaves:\n%s", left)
	}
	c.router.must("apply")
	if d := diffLines(have, c.router.ours()); d != "" {
		c.t.Errorf("what chaos left differs from what a first apply makes:\n%s", d)
	}
}

// running reports whether the watch runs: one that was started while the file was broken has ended.
func (c *chaos) running() bool {
	answers := lab.Eventually(lab.Patience(3*time.Second), func() bool { s, _ := c.status(); return s.Watch != nil })
	if !answers && c.cmd != nil {
		if err := c.wait(); err == nil || !strings.Contains(err.Error(), "exit status 1") {
			c.t.Errorf("pbr watch does not answer, and ended with %v", err)
		}
	}
	return answers
}

// try runs pbr, which may refuse, but neither hangs, nor dies by itself.
func (c *chaos) try(args ...string) {
	args = append([]string{"--config", c.router.file}, args...)
	cmd := c.Router.Command(pbrPath, args...)
	said := &monitor{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := c.Router.Start(cmd); err != nil {
		c.t.Errorf("starting pbr: %v", err)
		return
	}
	late := time.AfterFunc(lab.Patience(90*time.Second), func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	c.say("chaos: pbr %v: %v: %s", args[2:], cmd.ProcessState, strings.ReplaceAll(said.text(), "\n", " "))
	if code := cmd.ProcessState.ExitCode(); code < 0 || code > 4 || !late.Stop() || strings.Contains(said.text(), "goroutine ") {
		c.t.Errorf("pbr %v: %v\n%s", args[2:], cmd.ProcessState, said.text())
	}
}

// between is a random time.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

func (c *chaos) pause(r *rand.Rand, from, to time.Duration) {
	time.Sleep(min(between(r, from, to), time.Until(c.until)+time.Millisecond))
}

// say notes in the watch's log what is done, for whoever looks for a cause.
func (c *chaos) say(format string, args ...any) {
	fmt.Fprintf(c.log, "time=%s "+format+"\n", append([]any{time.Now().Format("2006-01-02T15:04:05.000Z07:00")}, args...)...)
}
