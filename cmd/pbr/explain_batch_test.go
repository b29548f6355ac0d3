package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Answers come in the order of the questions, however many at once are answered; a line that is too
// long is one of them.
func TestBatchKeepsTheOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pbr.toml")
	if err := os.WriteFile(file,
		[]byte("[[uplink]]\nname = \"isp1\"\ninterface = \"wan1\"\ngateway = \"192.0.2.1\"\nnat = "+
			"\"masquerade\"\n[default]\nroutes = [{ uplink = \"isp1\" }]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const questions, tooLong = 5000, 2500
	var in bytes.Buffer
	for i := range questions {
		if i == tooLong {
			fmt.Fprintf(&in, "{\"id\": %d, \"src\": %q}\n", i, strings.Repeat("x", 3*longestQuestion))
			continue
		}
		fmt.Fprintf(&in, "{\"id\": %d, \"in\": \"lan\", \"src\": \"10.0.0.1\", \"dst\": \"9.9.9.9\", \"proto\": \"udp\"}\n", i)
	}
	var out, said bytes.Buffer
	c := command{stdin: &in, stdout: &out, stderr: &said}
	if status := c.main([]string{"pbr", "--config", file, "explain", "--offline", "--batch", "-"}); status != exitOK {
		t.Fatalf("exit status %d: %s", status, &said)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != questions {
		t.Fatalf("%d answers to %d questions", len(lines), questions)
	}
	for i, line := range lines {
		var a struct {
			ID    *int
			Error string
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if i == tooLong && (a.ID != nil || !strings.Contains(a.Error, "longer than")) || i != tooLong &&
			(a.ID == nil || *a.ID != i || a.Error != "") {
			t.Fatalf("answer %d is %s", i, line)
		}
	}
}
