package policy

import "testing"

func TestSizes(t *testing.T) {
	for text, want := range map[string]uint64{"50GB": 50e9, "1kB": 1000, "2MB": 2e6, "1.5TB": 15e11, "1KiB": 1024,
		"3MiB": 3 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40, "5 GB": 5e9} {
		t.Run(text, func(t *testing.T) {
			if got, err := ParseSize(text); err != nil || got != want {
				t.Errorf("%s: %d, %v", text, got, err)
			}
		})
	}
	for _, text := range []string{"", "50", "GB", "-1GB", "50gb", "50G", "0GB", "1..5GB", "5.GB", "99999999TB", "0.1e3GB", "50 GB x"} {
		t.Run(text, func(t *testing.T) {
			if got, err := ParseSize(text); err == nil {
				t.Errorf("%q is %d", text, got)
			}
		})
	}
}
