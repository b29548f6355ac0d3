package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pbr/integration/vm/guest"
)

// What the guest says, in pieces that end anywhere, and what is left of it.
func TestOutput(t *testing.T) {
	said := strings.Join([]string{
		guest.Alive,
		"=== RUN   TestA", "=== PAUSE TestA", "=== RUN   TestB", "=== CONT  TestA",
		"    a_test.go:1: about A", "    a_test.go:2: more",
		"=== NAME  TestB", "    b_test.go:1: about B",
		"    --- PASS: TestA/part (0.00s)", "--- PASS: TestA (0.01s)",
		"    --- FAIL: TestB/part (0.00s)", "--- FAIL: TestB (0.01s)", "--- SKIP: TestC (0.00s)", "FAIL",
	}, "\r\n")
	want := strings.Join([]string{
		"=== TestA", "    a_test.go:1: about A", "    a_test.go:2: more", "=== TestB", "    b_test.go:1: about B",
		"--- PASS: TestA (0.01s)", "    --- FAIL: TestB/part (0.00s)", "--- FAIL: TestB (0.01s)", "--- SKIP: TestC (0.00s)", "FAIL",
	}, "\n") + "\n"
	var got bytes.Buffer
	o := newOutput(&got, options{})
	for _, piece := range []string{said[:7], said[7:90], said[90:]} {
		if _, err := o.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	o.flush()
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &got, want)
	}
	if o.alive.IsZero() || o.passed != 1 || len(o.failed) != 1 || o.skipped != 1 {
		t.Errorf("alive %v, %d passed, %d failed, %d skipped", o.alive, o.passed, len(o.failed), o.skipped)
	}
}

// A test that failed runs again by itself if all programs came to their end, and its lines are
// kept.
func TestFailsAreRunAgain(t *testing.T) {
	failing := []string{"=== RUN   TestA", "=== RUN   TestB", "=== NAME  TestA/part", "    a_test.go:1: lost", "        its second line",
		"=== NAME  TestB", "    b_test.go:1: good", "    --- FAIL: TestA/part (0.00s)",
		"--- FAIL: TestA (0.01s)", "--- PASS: TestB (0.01s)"}
	kept := []string{"    a_test.go:1: lost", "        its second line", "    --- FAIL: TestA/part (0.00s)", "--- FAIL: TestA (0.01s)"}
	six := slices.Repeat([]string{"--- FAIL: TestA (0.01s)"}, failsMax+1)
	for _, c := range []struct {
		name  string
		o     options
		lines []string
		want  bool
	}{
		{"one fails", options{rerun: true}, append(slices.Clone(failing), "FAIL", "PASS"), true},
		{"one fails, and nobody asked", options{}, append(slices.Clone(failing), "FAIL", "PASS"), false},
		{"a program panics", options{rerun: true}, append(slices.Clone(failing), "panic: oh", "PASS"), false},
		{"none fails", options{rerun: true}, []string{"--- PASS: TestA (0.01s)", "PASS", "PASS"}, false},
		{"six fail", options{rerun: true}, append(six, "FAIL", "PASS"), false},
		{"a benchmark fails", options{rerun: true, bench: "."}, append(slices.Clone(failing), "FAIL", "PASS"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOutput(io.Discard, c.o)
			for _, line := range c.lines {
				o.take(line)
			}
			again, ok := o.again(2)
			if ok != c.want || ok && (again.run != "^(TestA)$" || again.rerun) {
				t.Fatalf("again %v with %+v", ok, again)
			}
			if ok && !slices.Equal(o.said["TestA"], kept) {
				t.Errorf("kept %q", o.said["TestA"])
			}
			if o.said["TestB"] != nil {
				t.Errorf("kept of a test that passed: %q", o.said["TestB"])
			}
			if ok && !slices.Contains(testArgs(again), "-test.parallel=1") {
				t.Errorf("not by itself: %v", testArgs(again))
			}
		})
	}
}

func TestNoTestIsAnError(t *testing.T) {
	o := newOutput(&bytes.Buffer{}, options{})
	o.take("--- SKIP: TestC (0.00s)")
	if err := o.verdict(); err == nil {
		t.Error("a guest that skipped everything is good")
	}
}

func TestNewestKernel(t *testing.T) {
	cache := t.TempDir()
	if _, ok := cachedKernel(cache); ok {
		t.Error("an empty cache has a kernel")
	}
	for _, version := range []string{"6.1.0-9-amd64", "6.1.0-56-amd64", "5.10.0-100-amd64"} {
		dir := filepath.Join(cache, "linux", "linux-image-"+version, "boot")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "vmlinuz-"+version), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k, ok := cachedKernel(cache)
	if want := filepath.Join(cache, "linux/linux-image-6.1.0-56-amd64/lib/modules"); !ok ||
		k.version != "6.1.0-56-amd64" || k.modules != want {
		t.Errorf("got %+v, %v", k, ok)
	}
}

func TestImageVersion(t *testing.T) {
	image := make([]byte, 0x1000)
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(image[0x20e:], 0x600)
	copy(image[0x800:], "6.1.0-56-amd64 (debian@example.org) #1\x00")
	for _, c := range []struct {
		image []byte
		want  string
	}{{image, "6.1.0-56-amd64"}, {image[:0x700], ""}, {[]byte("#!/bin/sh\n"), ""}} {
		path := filepath.Join(t.TempDir(), "vmlinuz")
		if err := os.WriteFile(path, c.image, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := imageVersion(path); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
	}
}
