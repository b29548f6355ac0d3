//go:build !small

package web

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pbr/healthcheck"
	"pbr/integration/lab"
)

// views are the pages that pictures are made of.
var views = []struct{ name, path string }{
	{"lines", "/"}, {"line", "/line/cable"}, {"ways", "/ways"}, {"why", "/why"}, {"connections", "/why/connections"},
	{"trace", "/why/trace"},
	{"events", "/events"}, {"doctor", "/doctor"}, {"changes", "/changes"},
}

// manyViews are those of 200 uplinks and 1,000 policies.
var manyViews = []struct{ name, path string }{{"many-lines", "/"}, {"many-ways", "/ways"}}

func state(s string) healthcheck.State { return healthcheck.State(s) }

// TestScreenshots makes the pictures of docs: make screenshots. PBR_SCREENSHOTS names the folder.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("PBR_SCREENSHOTS")
	if folder == "" {
		t.Skip("make screenshots runs this")
	}
	for _, set := range []struct {
		policy string
		views  []struct{ name, path string }
	}{{samplePolicy, views}, {manyLines(200, 1000), manyViews}} {
		h := lab.New(t).Host("router")
		s := newSample(t, set.policy)
		serve(t, h, s)
		b := browse(t, h)
		if set.policy == samplePolicy {
			b.forDocs()
		}
		for _, dark := range []bool{false, true} {
			for _, width := range []int{1280, 400} {
				b.screen(width, 900, dark)
				for _, v := range set.views {
					b.open(v.path)
					if v.name == "why" {
						b.explain("192.168.20.10", "9.9.9.9", "udp", "5060")
					}
					if v.name == "trace" {
						b.leave(`document.getElementById("t-host").value = "192.168.10.50"; ` +
							`document.querySelector("form.ask").requestSubmit()`)
						lab.WaitFor(t, "the trace", func() bool { return b.text("p.note") != "" })
					}
					time.Sleep(200 * time.Millisecond) // until it is painted
					b.shoot(filepath.Join(folder, picture(v.name, width, dark)), width, 2400)
				}
			}
		}
	}
}

// forDocs makes the pictures that docs have.
func (b *browser) forDocs() {
	b.t.Helper()
	for _, p := range []struct {
		path, file   string
		width, limit int
	}{{"/", "../../docs/web.webp", 1240, 640}, {"/ways", "../../docs/web-ways.webp", 1240, 640}} {
		b.screen(p.width, 900, false)
		b.open(p.path)
		time.Sleep(200 * time.Millisecond)
		b.shoot(p.file, p.width, p.limit)
	}
}

func picture(view string, width int, dark bool) string {
	name := view
	if dark {
		name += "-dark"
	}
	if width < 600 {
		name += "-narrow"
	}
	return name + ".png"
}

// explain fills the form of explain in, and sends it.
func (b *browser) explain(src, dst, proto, dport string) {
	b.t.Helper()
	b.leave(`for (const [k, v] of Object.entries({src: "` + src + `", dst: "` + dst + `", proto: "` + proto + `", dport: "` +
		dport + `"})) document.getElementById("q-" + k).value = v;
document.querySelector("form.ask").requestSubmit()`)
	lab.WaitFor(b.t, "the answer", func() bool { return b.text(".story") != "" || b.text(".note.bad") != "" })
}
