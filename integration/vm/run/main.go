// Program run is the QEMU test tier: it boots a stock Linux kernel, with this machine's own file
// system as its root, and runs the tests of packages in it. What they say goes to standard output
// as they say it.
//
//	go run ./integration/vm/run [-rerun-fails] [-run REGEXP] [-skip REGEXP] [-bench REGEXP] [PACKAGE ...]
//	go run ./integration/vm/run -shell
//
// Where the machine cannot do that (no QEMU, no kernel to be had), it says so on one line and
// succeeds, or fails if PBR_REQUIRE is 1.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"pbr/integration/lab"
	"pbr/integration/vm/emulator"
)

// errCannot is wrapped by the errors that are the machine's fault and not the tests'.
var errCannot = errors.New("this machine cannot run a guest")

type options struct {
	run, skip, bench string
	packages         []string
	shell            bool
	// rerun gives tests that fail a second chance; alone runs one test at a time.
	rerun, alone bool
	accel        string
	timeout      time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.run, "run", "", "run only the tests that match `REGEXP`")
	flag.StringVar(&o.skip, "skip", "", "leave out the tests that match `REGEXP`")
	flag.StringVar(&o.bench, "bench", "", "run the benchmarks that match `REGEXP`, once, instead of tests")
	flag.BoolVar(&o.rerun, "rerun-fails", false, "run a test that fails once again, by itself: only one that fails twice counts")
	flag.BoolVar(&o.shell, "shell", false, "open a shell in the guest instead of running tests")
	flag.StringVar(&o.accel, "accel", "", "`kvm` or tcg; by itself, kvm where it works")
	flag.DurationVar(&o.timeout, "timeout", 8*time.Minute, "give the guest up after this `time`")
	flag.Parse()
	o.packages = flag.Args()

	err := run(o)
	if errors.Is(err, errCannot) && os.Getenv(lab.RequireEnv) != "1" {
		fmt.Printf("NOT TESTED: flow offload, WireGuard and all that needs a stock kernel in QEMU: %v\n", err)
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "test-vm: %v\n", err)
		os.Exit(1)
	}
}

// run boots the guest for the tests that are wanted. A guest that never comes to life under
// hardware acceleration is started again without: there are machines whose /dev/kvm opens and then
// does not work.
func run(o options) error {
	qemu, err := findQEMU()
	if err != nil {
		return err
	}
	kernel, err := findKernel()
	if err != nil {
		return err
	}
	if o.accel == "" {
		if o.accel, err = emulator.Best(string(qemu)); err != nil {
			return err
		}
	}
	err = boot(qemu, kernel, o)
	if errors.Is(err, errDead) && o.accel == emulator.KVM {
		fmt.Printf("%v; again, emulated\n", err)
		o.accel = emulator.TCG
		err = boot(qemu, kernel, o)
	}
	return err
}

// boot makes the share and boots the guest with it; once more for tests that failed, if that is
// wanted.
func boot(q qemu, k kernel, o options) error {
	start := time.Now()
	s, err := newShare(k, o)
	if err != nil {
		return err
	}
	defer s.remove()
	fmt.Printf("Linux %s under QEMU (%s), built in %.0f s\n", k.version, o.accel, time.Since(start).Seconds())
	out, err := bootOnce(q, k, s, o)
	if o, ok := out.again(len(s.programs)); ok && err != nil {
		return bootAgain(q, k, s, o, out)
	}
	return err
}

// bootAgain runs the tests that failed by themselves, in a guest of their own, and says what they
// said the first time.
func bootAgain(q qemu, k kernel, s *share, o options, first *output) error {
	fmt.Printf("failed beside the others: %s; once again, each by itself\n", strings.Join(first.failed, ", "))
	if err := s.writeJob(o); err != nil {
		return err
	}
	if _, err := bootOnce(q, k, s, o); err != nil {
		return err
	}
	fmt.Println("failed once, and passed by themselves. The first failures:")
	for _, name := range first.failed {
		fmt.Printf("=== %s\n%s\n", name, strings.Join(first.said[name], "\n"))
	}
	return nil
}

// bootOnce boots the guest and judges what came out.
func bootOnce(q qemu, k kernel, s *share, o options) (*output, error) {
	start := time.Now()
	out := newOutput(os.Stdout, o)
	err := q.boot(k, s, o, out)
	ended, status := s.status()
	switch {
	case err == nil && o.shell, errors.Is(err, errDead):
	case err == nil && ended:
		err = errors.Join(status, out.verdict())
	default:
		err = fmt.Errorf("%w\nthe guest's last kernel messages:\n%s", errors.Join(err, status), s.lastMessages())
	}
	if !out.alive.IsZero() {
		fmt.Printf("the guest ran for %.0f s, %.0f s of it to boot, and took %.0f s of processor time\n",
			time.Since(start).Seconds(), out.alive.Sub(start).Seconds(), out.processor.Seconds())
	}
	return out, err
}
