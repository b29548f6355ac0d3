package integration

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What a package, its dependencies included, must never pull in, and why.
var boundaries = []struct{ pkg, forbidden, why string }{
	{"pbr/compiler", "os/exec", "the compiler is a pure function"},
	{"pbr/compiler", "github.com/vishvananda/netlink", "the compiler is a pure function"},
	{"pbr/compiler", "github.com/mdlayher/netlink", "the compiler is a pure function"},
	{"pbr/compiler", "pbr/render", "a plan does not know how it is printed"},
	{"pbr/compiler", "pbr/kernel", "only a plan goes to the kernel"},
	{"pbr/compiler/plan", "pbr/compiler", "the shared vocabulary imports nothing of ours"},
	{"pbr/compiler/plan", "pbr/compiler/policy", "the shared vocabulary imports nothing of ours"},
	{"pbr/compiler/interval", "pbr/compiler/plan", "arithmetic knows no object"},
	{"pbr/compiler/policy", "pbr/compiler/plan", "the language knows nothing of the kernel's objects"},
	{"pbr/compiler/from/routeros", "pbr/kernel", "an import reads a text and nothing else"},
	{"pbr/compiler/from/routeros", "os/exec", "an import reads a text and nothing else"},
	{"pbr/compiler/from/mwan3", "pbr/kernel", "an import reads a text and nothing else"},
	{"pbr/compiler/from/mwan3", "os/exec", "an import reads a text and nothing else"},
	{"pbr/kernel/doctor", "pbr/kernel", "the doctor judges facts that it is given"},
	{"pbr/kernel/doctor", "os/exec", "the doctor judges facts that it is given"},
	{"pbr/kernel/propose", "pbr/kernel", "a proposal is made of what it is given"},
	{"pbr/kernel/facts", "pbr/compiler/policy", "facts are what is, whatever is wanted"},
	{"pbr/render", "os/exec", "rendering runs nothing"},
	{"pbr/render", "pbr/kernel", "what is printed is a plan, live or wanted"},
	{"pbr/render", "github.com/mdlayher/netlink", "rendering talks to nobody"},
	{"pbr/render/graph", "pbr/kernel", "a picture is drawn of what it is given"},
	{"pbr/kernel", "os/exec", "the kernel is reached through netlink alone"},
	{"pbr/kernel", "pbr/compiler", "the kernel side applies plans, it does not make them"},
	{"pbr/kernel", "pbr/compiler/policy", "the kernel side knows no policy file"},
	{"pbr/kernel", "pbr/render", "the kernel side prints nothing"},
	{"pbr/healthcheck", "pbr/kernel", "probing changes no route"},
	{"pbr/healthcheck", "pbr/compiler", "probing knows no policy"},
	{"pbr/cmd/pbr/web", "pbr/kernel", "the page is given snapshots and answers"},
	{"pbr/cmd/pbr/web", "os/exec", "the page runs nothing"},
	{"pbr/healthcheck/history", "pbr/healthcheck", "a history knows what it is given"},
	{"pbr/render/plot", "pbr/healthcheck", "a plot is drawn of numbers"},
	{"pbr/kernel", "net/http", "the kernel side fetches nothing"},
	{"pbr/cmd/pbr/sources", "pbr/kernel", "what is fetched is for others to bring into force"},
	{"pbr/cmd/pbr/sources", "pbr/compiler/plan", "what is fetched is for others to bring into force"},
	{"pbr/cmd/pbr/daemon", "pbr/cmd/pbr/sources", "the loop is told of sources that changed"},
	{"pbr/cmd/pbr/daemon", "pbr/kernel", "the loop is given its kernel"},
	{"pbr/cmd/pbr/daemon", "github.com/mdlayher/netlink", "the loop is given its kernel"},
	{"pbr/cmd/pbr/notify", "pbr/kernel", "posting events changes nothing"},
	{"pbr/compiler/message", "net/http", "a message is a text, whoever sends it"},
	{"pbr/cmd/pbr/daemon", "os/exec", "the loop is given what runs its hook"},
}

func TestPackageBoundaries(t *testing.T) {
	deps := map[string][]string{}
	for _, b := range boundaries {
		if _, done := deps[b.pkg]; !done {
			out, err := exec.Command("go", "list", "-deps", "-e", b.pkg).Output()
			if err != nil {
				t.Fatalf("go list -deps %s: %v", b.pkg, err)
			}
			deps[b.pkg] = strings.Fields(string(out))
		}
		if slices.Contains(deps[b.pkg], b.forbidden) {
			t.Errorf("%s depends on %s: %s", b.pkg, b.forbidden, b.why)
		}
	}
	if len(deps["pbr/compiler"]) < 10 {
		t.Errorf("go list saw next to nothing: %v", deps["pbr/compiler"])
	}
}
