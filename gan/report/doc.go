// Package report presents a run or a study: contact sheets as PNG files, and one self-contained
// HTML page with pictures, tables, curves and the commands that repeat them.
//
// Non-goals: deciding what to show or computing it. It is given pictures and numbers with
// their intervals and lays them out. The page needs no script, no network and no other file.
//
// Invariants:
//  1. The same report gives the same bytes: nothing of the time, the machine or a map's order.
//  2. Every text is escaped; the only markup that prose may carry is `code`, **bold** and
//     paragraphs separated by an empty line.
//  3. Every picture and plot has a text alternative, and a plot of few points its numbers as
//     a table.
//
// Misuse (rows of unequal length, pictures of unequal size) panics with *tensor.Error.
//
// Comes from: gan/metrics (images, estimates), gan and gan/explore (what to show).
// Goes to: report.html and sample sheets in a run directory, opened by a person.
package report
