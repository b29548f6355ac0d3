package policy

import (
	"strings"
	"testing"
	"testing/fstest"
)

// withAll asks for every feature, each in a line of its own.
const withAll = `[watch]
metrics = "127.0.0.1:9811"
notify = { url = "https://ntfy.example.com/router" }
web = "127.0.0.1:9810"
[lists]
fetched = { url = "https://example.com/list.txt" }
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
check = { targets = ["http://192.0.2.80/"], method = "http" }
`

func TestNotBuiltIn(t *testing.T) {
	files := fstest.MapFS{"p": {Data: []byte(withAll)}}
	t.Run("a full build takes all of it", func(t *testing.T) {
		if _, ds := Parse(files, "p", "p"); ds.HasErrors() {
			t.Fatalf("a full build refuses it: %v", ds)
		}
	})
	for f, place := range map[Feature]string{
		FeatureMetrics: "p:2:11", FeatureNotify: "p:3:10", FeatureWeb: "p:4:7", FeatureListURL: "p:6:19", FeatureCheckHTTP: "p:11:54",
	} {
		t.Run(string(f), func(t *testing.T) {
			_, ds := ParseWith(files, "p", "p", Options{ErrorsOnly: true, Lack: Lack{"small", []Feature{f}}})
			if len(ds) != 1 || ds[0].Code != codeNotBuiltIn || ds[0].Pos.String() != place ||
				!strings.Contains(ds[0].Message, "-tags small, which leaves out "+featureTexts[f]) ||
				ds[0].Hint != featureInstead[f]+", or use a full build" || featureInstead[f] == "" {
				t.Errorf("%s: %v, want one at %s", f, ds, place)
			}
		})
	}
	t.Run("a build without any of them reports each", func(t *testing.T) {
		_, ds := ParseWith(files, "p", "p", Options{ErrorsOnly: true, Lack: Lack{"small", Features}})
		if asked := len(Features) - 3; len(ds) != asked { // neither two commands' nor zones that the machine knows
			t.Errorf("%d errors, want one for each of %d features: %v", len(ds), asked, ds)
		}
	})
	t.Run("the other spellings", func(t *testing.T) {
		short := fstest.MapFS{"p": {Data: []byte("[watch]\nnotify = \"https://ntfy.example.com/router\"\n" +
			"web = { listen = \"127.0.0.1:9810\" }\n")}}
		if _, ds := ParseWith(short, "p", "p", Options{ErrorsOnly: true, Lack: Lack{"small", Features}}); len(ds) != 2 {
			t.Errorf("the other spellings: %v", ds)
		}
	})
}

// A zone that the machine knows needs no database of the program's own.
func TestZonesNotBuiltIn(t *testing.T) {
	for zone, want := range map[string]string{"UTC": "", "Europe/Nowhere": codeNotBuiltIn} {
		t.Run(zone, func(t *testing.T) {
			files := fstest.MapFS{"p": {Data: []byte("schedules = { work = { days = \"mon-fri\", timezone = \"" + zone + "\" } }\n")}}
			_, ds := ParseWith(files, "p", "p", Options{ErrorsOnly: true, Lack: Lack{"small", Features}})
			if got := code(ds); got != want {
				t.Errorf("%s: %q, want %q: %v", zone, got, want, ds)
			}
		})
	}
}

// code is the first diagnostic's.
func code(ds Diagnostics) string {
	if len(ds) == 0 {
		return ""
	}
	return ds[0].Code
}

func TestNothingIsAskedForThatIsNotBuiltIn(t *testing.T) {
	files := fstest.MapFS{"p": {Data: []byte("[[uplink]]\nname = \"isp1\"\ninterface = \"eth1\"\n" +
		"gateway = \"192.0.2.1\"\ncheck = \"ping\"\n[watch]\nhook = \"/etc/pbr/hook\"\n")}}
	if _, ds := ParseWith(files, "p", "p", Options{ErrorsOnly: true, Lack: Lack{"small", Features}}); len(ds) != 0 {
		t.Errorf("refused: %v", ds)
	}
}
