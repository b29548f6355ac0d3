package main

import (
	"os"
	"path/filepath"
	"strings"

	"pbr/compiler/explain"
	"pbr/compiler/policy"
)

// checkExpectations returns what is wrong with a file of assertions, and which of them do not hold.
func checkExpectations(f *policyFile, display string) (policy.Diagnostics, error) {
	f.assertions = display
	path, err := filepath.Abs(display)
	if err != nil {
		return nil, usageError("--expect: not a file: %v", err)
	}
	expectations, failed := policy.ParseExpectations(os.DirFS("/"), strings.TrimPrefix(path, "/"), display,
		explain.ExpectKeys(), explain.ExpectLists())
	if failed.HasErrors() {
		return failed, nil
	}
	x, err := offlineExplainer(f.doc)
	if err != nil {
		return nil, err
	}
	resolve := resolver()
	for i := range expectations {
		failed = append(failed, x.Check(&expectations[i], resolve)...)
	}
	return failed, nil
}

// source returns the text of a file that a finding names: of the policy, its lists, or the
// assertions.
func (f *policyFile) source(name string) []byte {
	if name != f.assertions || name == f.display {
		return f.text.Source(name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return text
}
