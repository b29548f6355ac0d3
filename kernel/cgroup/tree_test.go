package cgroup

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// Mounts as the kernel lists them: unified, beside version 1, hidden, and a part of the tree alone.
func TestRoot(t *testing.T) {
	const (
		v1      = "37 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
		hybrid  = "38 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
		unified = "39 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
		part    = "40 25 0:26 /user.slice /mnt/part rw - cgroup2 cgroup2 rw\n"
		spaced  = `41 25 0:26 / /mnt/a\040b rw - cgroup2 cgroup2 rw` + "\n"
	)
	for _, c := range []struct {
		name                 string
		mounts, hidden, want string
	}{
		{"version 1 alone", v1, "", ""}, {"unified beside version 1", v1 + hybrid, "", "/sys/fs/cgroup/unified"},
		{"unified", unified, "", "/sys/fs/cgroup"}, {"a part of the tree does not count", unified + part, "", "/sys/fs/cgroup"},
		{"a name with a blank", spaced, "", "/mnt/a b"}, {"no mounts", "", "", ""},
		{"one that is hidden does not count", unified + hybrid, "/sys/fs/cgroup/unified", "/sys/fs/cgroup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := rootIn(strings.NewReader(c.mounts), func(dir string) bool { return dir != c.hidden }); got != c.want {
				t.Errorf("%q: %q, not %q", c.mounts, got, c.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"system.slice/a.service/sub", "system.slice/x.slice/b@1.service",
		"user.slice/1/2/app/a.service", "1/2/3/4/5/deep.service"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	number := func(t *testing.T, dir string) uint64 {
		n, ok := inode(filepath.Join(root, dir))
		if !ok {
			t.Fatal(dir)
		}
		return n
	}
	sources := []plan.CgroupSource{
		{Set: "path", Name: "system.slice"}, {Set: "gone", Name: "system.slice/c.service"}, {Set: "a", Unit: true, Name: "a.service"},
		{Set: "b", Unit: true, Name: "b@1.service"}, {Set: "deep", Unit: true, Name: "deep.service"},
	}
	t.Run("by path, and by unit with all its places, down to a depth", func(t *testing.T) {
		one, two := number(t, "system.slice/a.service"), number(t, "user.slice/1/2/app/a.service")
		want := map[string][]uint64{"path": {number(t, "system.slice")}, "gone": nil, "a": {min(one, two), max(one, two)},
			"b": {number(t, "system.slice/x.slice/b@1.service")}, "deep": nil}
		if got := Find(root, sources, 5); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
	})
	t.Run("without a tree there is none", func(t *testing.T) {
		if got := Find("", sources, 5); len(got["path"]) != 0 {
			t.Errorf("without a tree: %v", got)
		}
	})
}
