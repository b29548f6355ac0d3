package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script writes a hook.
func script(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// A hook whose time is over is killed with what it started, even if that holds its output open.
func TestHookIsKilled(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	path := script(t, "echo begun\nsleep 1000 &\necho $! > $PID_FILE.new\nmv $PID_FILE.new $PID_FILE\nwait\n", 0o755)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runHook(ctx, path, []string{"PID_FILE=" + pidFile}) }()
	var pid int
	eventually(t, "the hook to begin", func() bool {
		b, err := os.ReadFile(pidFile)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		}
		return err == nil
	})
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "begun") {
		t.Errorf("a killed hook gives %v", err)
	}
	eventually(t, "what the hook started to end", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		// A zombie, which nobody has collected yet, has ended too.
		return err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// What a hook prints costs no memory beyond the words that are kept.
func TestHookOutputIsBounded(t *testing.T) {
	path := script(t, "head -c 200000000 /dev/zero | tr '\\0' x\nexit 3\n", 0o755)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := runHook(t.Context(), path, nil)
	runtime.ReadMemStats(&after)
	if err == nil || len(err.Error()) > 2*hookWords || !strings.Contains(err.Error(), "xxx") {
		t.Errorf("a failed hook gives %.1000v", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 10<<20 {
		t.Errorf("200 MB of output took %d MB", grown>>20)
	}
}
