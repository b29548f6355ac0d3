package boot

import (
	"fmt"
	"strings"
)

// caller is a service that calls the far end five times a second, and writes down by whom each call
// was answered.
const caller = `#!/bin/sh
while :; do
	echo '?' | socat -t 5 - TCP:203.0.113.80:443,connect-timeout=5 >>/run/calls 2>/dev/null || echo refused >>/run/calls
	sleep 0.2
done
`

const callerService = "[Service]\nExecStart=/bin/sh /root/caller\n"

// callerPolicy sends what the service opens through the second provider, or nowhere.
const callerPolicy = "[[policy]]\nname = \"caller\"\nfrom = \"local\"\n%s\nuplink = \"isp2\"\nstrict = true\n"

// programs: a real service's connections take the uplink of its policy, by its unit and by its
// slice, and go on doing so when it restarts. In three of the ways no call ever leaves through
// another one.
func (g *guest) programs() {
	g.t.Helper()
	g.put("/root/caller", caller)
	g.put("/etc/systemd/system/caller.service", callerService)
	g.run("systemctl daemon-reload; cp /etc/pbr/pbr.toml /root/right.toml")
	only := func(selector string) {
		g.t.Helper()
		g.run("cp /root/right.toml /etc/pbr/pbr.toml")
		g.put("/root/more", fmt.Sprintf(callerPolicy, selector))
		g.run("cat /root/more >>/etc/pbr/pbr.toml && systemctl reload-or-restart pbr")
	}

	only(`unit = "caller.service"`)
	g.run("systemctl start caller")
	g.wait("calls through isp2", "tail -n 1 /run/calls | grep -q '^isp2 198.51.100.2:'")
	// The watch follows within a second, on a processor that is not emulated: from then on all of
	// them.
	g.run("systemctl stop caller && rm /run/calls && systemctl start caller")
	g.wait("the watch to follow a restart", "tail -n 1 /run/calls | grep -q '^isp2 198.51.100.2:'")
	g.run(": >/run/calls")
	g.wait("calls after a restart", "[ $(wc -l </run/calls) -ge 3 ]")
	g.called("after a restart that the watch has followed")
	if out := g.run("echo '?' | socat -t 5 - TCP:203.0.113.80:443"); !strings.HasPrefix(out, "isp1 ") {
		g.t.Errorf("who is in no such unit calls through %s", out)
	}

	g.withoutWindow("NFTSet=cgroup:inet:pbr:unit_caller_service", "with NFTSet=")
	g.run("systemctl stop pbr")
	g.withoutWindow("NFTSet=cgroup:inet:pbr:unit_caller_service", "with NFTSet= and no watch")
	g.run("systemctl start pbr")
	g.withoutWindow("ExecStartPre=+/usr/sbin/pbr apply", "with an apply of its own")

	g.put("/etc/systemd/system/calls.slice", "[Install]\nWantedBy=slices.target\n")
	g.run("systemctl daemon-reload && systemctl enable --now calls.slice 2>&1")
	only(`cgroup = "calls.slice"`)
	g.withoutWindow("Slice=calls.slice", "in a slice")

	g.run("systemctl stop caller && rm /etc/systemd/system/caller.service && cp /root/right.toml " +
		"/etc/pbr/pbr.toml && systemctl daemon-reload && systemctl reload pbr")
	g.routed("after policies for programs")
}

// withoutWindow restarts the service with one more line, and looks at each of its calls.
func (g *guest) withoutWindow(line, how string) {
	g.t.Helper()
	g.put("/etc/systemd/system/caller.service", callerService+line+"\n")
	g.run("systemctl daemon-reload && systemctl stop caller && rm -f /run/calls")
	for i := range 3 {
		g.run("systemctl restart caller")
		g.wait("calls "+how, fmt.Sprintf("[ $(cat /run/calls | wc -l) -ge %d ]", 3*(i+1)))
	}
	g.called(how)
	if a := g.try("pbr diff"); a.Code != 0 {
		g.t.Errorf("%s pbr diff says\n%s", how, a.Output)
	}
}

// called holds that each call was answered by the second provider.
func (g *guest) called(how string) {
	g.t.Helper()
	if out := g.run("grep -v '^isp2 198.51.100.2:' /run/calls || true"); out != "" {
		g.t.Errorf("%s there are calls that did not go through isp2:\n%s%s", how, out,
			g.run("nft list table inet pbr | grep -A5 'set unit_\\|set cgroup_'"))
	}
}
