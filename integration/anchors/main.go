// Command anchors measures a checkout of pbr: the map of its packages, and sizes that reports
// whether it stays easy to read. It prints Markdown. Usage: go run ./integration/anchors
// [DIRECTORY]
package main

import (
	"fmt"
	"log"
	"os"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	tree, err := read(dir)
	if err != nil {
		log.Fatal(err)
	}
	tree.printMap()
	fmt.Println()
	tree.printAnchors()
}
