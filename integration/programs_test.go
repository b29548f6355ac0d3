package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// programsPolicy has the router's own traffic of a unit, of one control group, and of a slice with
// what is in it, each by a provider of its own.
const programsPolicy = ispsIPv4 + `[default]
routes = { uplink = "isp1" }
[[policy]]
name = "unit"
from = "local"
unit = "UNIT.service"
uplink = "isp2"
strict = true
[[policy]]
name = "path"
from = "local"
cgroup = "SLICE/exact.service"
uplink = "isp2"
strict = true
[[policy]]
name = "slice"
from = "local"
cgroup = "SLICE/wide.slice"
uplink = "isp2"
strict = true
`

// programs is a router whose processes see a tree of control groups at the usual place, whatever
// the machine has mounted.
type programs struct {
	*watched
	slice, unit string
}

func newPrograms(t *testing.T) *programs {
	t.Helper()
	p := &programs{slice: fmt.Sprintf("pbrlab%d.slice", os.Getpid()), unit: fmt.Sprintf("pbr-lab@%d", os.Getpid())}
	policy := strings.NewReplacer("UNIT", p.unit, "SLICE", p.slice).Replace(programsPolicy)
	p.watched = newWatchedNet(t, policy, lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	p.wrap = []string{"unshare", "--mount", "sh", "-c", `mount -t cgroup2 none /sys/fs/cgroup && exec "$@"`, "sh"}
	t.Cleanup(func() {
		p.run("sh", "-c", "find /sys/fs/cgroup/"+p.slice+" -depth -type d -exec rmdir {} +")
	})
	p.must("mkdir", "-p", "/sys/fs/cgroup/"+p.slice+"/wide.slice")
	return p
}

func (p *programs) run(args ...string) lab.Result {
	args = append(p.wrap[:len(p.wrap):len(p.wrap)], args...)
	return p.Router.Exec(args[0], args[1:]...)
}

func (p *programs) must(args ...string) {
	p.t.Helper()
	if res := p.run(args...); res.Code != 0 {
		p.t.Fatalf("%q: %s%s", args, res.Stdout, res.Stderr)
	}
}

func (p *programs) pbr(args ...string) lab.Result {
	return p.run(append([]string{pbrPath, "--config", p.router.file}, args...)...)
}

func (p *programs) agrees(when string) {
	p.t.Helper()
	if res := p.pbr("diff"); res.Code != 0 {
		p.t.Errorf("%s: diff: %s%s", when, res.Stdout, res.Stderr)
	}
}

// restart makes a control group again, which the kernel then knows by another number.
func (p *programs) restart(group string) {
	p.t.Helper()
	dir := "/sys/fs/cgroup/" + p.slice + "/" + group
	lab.WaitFor(p.t, group+" to be left by its processes", func() bool {
		return p.run("sh", "-c", `[ ! -d "$0" ] || rmdir "$0"`, dir).Code == 0
	})
	p.must("mkdir", dir)
}

// leaves returns by which provider a process in a control group, or outside of all, gets to the far
// end, after a command that it runs first.
func (p *programs) leaves(group, first string) string {
	join := "true"
	if group != "" {
		join = "echo $$ >/sys/fs/cgroup/" + p.slice + "/" + group + "/cgroup.procs"
	}
	res := p.run("bash", "-c", fmt.Sprintf("%s && %s && exec 3<>/dev/tcp/%s/%d && echo >&3 && head -n 1 <&3",
		join, first, farEnd.Addr(), farEnd.Port()))
	by, _, _ := strings.Cut(lastLine(res.Stdout), " ")
	return by
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func (p *programs) leavesBy(when, group, first, isp string) {
	p.t.Helper()
	if by := p.leaves(group, first); by != isp {
		p.t.Errorf("%s: %s leaves through %q, not %q", when, group, by, isp)
	}
}

// Programs leave through the way of their policy before, during and after a restart.
func TestProgramsLeave(t *testing.T) {
	t.Parallel()
	p := newPrograms(t)
	unit := p.unit + ".service"
	if res := p.pbr("apply"); res.Code != 0 { // of what is not there yet
		t.Fatal(res.Stderr)
	}
	p.agrees("nothing there")
	p.leavesBy("outside", "", "true", "isp1")
	p.withoutWatch(unit)
	p.start()
	for _, group := range []string{unit, "exact.service"} {
		for range 2 {
			p.restart(group)
			lab.WaitFor(t, "the watch to follow "+group, func() bool { return p.leaves(group, "true") == "isp2" })
		}
	}
	p.leavesBy("with a watch", "", "true", "isp1")
	lab.WaitFor(t, "the watch to have nothing to change", func() bool { return p.pbr("diff").Code == 0 })
	if res := p.pbr("explain", "--in", "local", "--cgroup", p.slice+"/"+unit, "9.9.9.9:443/tcp"); !strings.Contains(
		res.Stdout, "unit") || !strings.Contains(res.Stdout, "isp2") {
		t.Errorf("explain: %s%s", res.Stdout, res.Stderr)
	}
}

// withoutWatch has the three ways on which nothing leaks while nobody watches: a slice around, the
// element that systemd adds (NFTSet=), and an apply that the unit itself does before it starts.
func (p *programs) withoutWatch(unit string) {
	p.t.Helper()
	for range 2 {
		p.restart("wide.slice/inner.service")
		p.leavesBy("in a slice", "wide.slice/inner.service", "true", "isp2")
	}
	p.restart(unit)
	p.leavesBy("nobody follows", unit, "true", "isp1")
	set := "unit_" + strings.NewReplacer("-", "_", "@", "_").Replace(p.unit) + "_service"
	p.must("nft", "add element inet pbr "+set+` { "`+p.slice+"/"+unit+`" }`)
	p.leavesBy("with NFTSet=", unit, "true", "isp2")
	p.agrees("with NFTSet=")
	if res := p.pbr("apply"); res.Code != 0 {
		p.t.Error(res.Stderr)
	}
	p.leavesBy("with NFTSet= and an apply", unit, "true", "isp2")
	p.restart(unit)
	p.leavesBy("with an apply first", unit, pbrPath+" --config "+p.router.file+" apply", "isp2")
}
