//go:build linux && cgo

// Gpumon writes what NVIDIA's management library knows of the GPUs as JSON, a line every interval:
// utilisation, memory, power, clocks, temperature and energy. The program afterimage starts it when
// it lies beside it or on PATH, and closes its standard input to end it. It is a program of its own
// because go-nvml leaves its symbols for the library to fill: on a machine without a driver it may
// not even start, and then nothing is lost but the telemetry.
//
//	gpumon [-interval 1s] [-once]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// A sample is one line.
type sample struct {
	Time    float64  `json:"time"` // seconds since 1970
	Devices []device `json:"devices"`
}

// A device is one GPU at that time. A number that the card or its driver does not give is null.
type device struct {
	Index       int      `json:"index"`
	UUID        string   `json:"uuid"`
	Name        string   `json:"name"`
	Utilisation *float64 `json:"utilisation"`   // share of time in which a kernel ran, 0..1
	MemoryBusy  *float64 `json:"memory_busy"`   // share of time in which memory was read or written
	MemoryUsed  *float64 `json:"memory_used"`   // bytes, of all programs
	MemoryTotal *float64 `json:"memory_total"`  // bytes
	Power       *float64 `json:"power_watts"`   // now
	PowerLimit  *float64 `json:"limit_watts"`   // enforced
	Energy      *float64 `json:"energy_joules"` // since the driver was loaded
	Temperature *float64 `json:"temperature"`   // of the chip, °C
	SMClock     *float64 `json:"sm_clock_mhz"`  // multiprocessors
	MemoryClock *float64 `json:"memory_clock_mhz"`
	Throttle    *float64 `json:"throttle_reasons"` // bits of nvmlClocksEventReasons
}

func main() {
	interval := flag.Duration("interval", time.Second, "time between lines")
	once := flag.Bool("once", false, "write one line and end")
	flag.Parse()
	if err := run(*interval, *once); err != nil {
		fmt.Fprintln(os.Stderr, "gpumon:", err)
		os.Exit(1)
	}
}

// run samples until standard input ends, so that gpumon never outlives who started it.
func run(interval time.Duration, once bool) error {
	if interval < 10*time.Millisecond {
		return fmt.Errorf("-interval %v: expected 10ms or more", interval)
	}
	if r := nvml.Init(); r != nvml.SUCCESS {
		return fmt.Errorf("the management library does not start: %s", nvml.ErrorString(r))
	}
	defer nvml.Shutdown()
	ended := make(chan struct{})
	if !once {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(ended)
		}()
	}
	out := json.NewEncoder(os.Stdout)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		s, err := take()
		if err != nil {
			return err
		}
		if err := out.Encode(s); err != nil || once {
			return err
		}
		select {
		case <-ended:
			return nil
		case <-tick.C:
		}
	}
}

// take asks every device.
func take() (sample, error) {
	s := sample{Time: float64(time.Now().UnixMilli()) / 1e3}
	n, r := nvml.DeviceGetCount()
	if r != nvml.SUCCESS {
		return s, fmt.Errorf("count of devices: %s", nvml.ErrorString(r))
	}
	for i := range n {
		d, r := nvml.DeviceGetHandleByIndex(i)
		if r != nvml.SUCCESS {
			return s, fmt.Errorf("device %d: %s", i, nvml.ErrorString(r))
		}
		s.Devices = append(s.Devices, read(i, d))
	}
	return s, nil
}

// value keeps a number that was given, scaled.
func value[T uint32 | uint64 | int](v T, r nvml.Return, scale float64) *float64 {
	if r != nvml.SUCCESS {
		return nil
	}
	f := float64(v) * scale
	return &f
}

func read(i int, d nvml.Device) device {
	out := device{Index: i}
	out.UUID, _ = d.GetUUID()
	out.Name, _ = d.GetName()
	use, r := d.GetUtilizationRates()
	out.Utilisation, out.MemoryBusy = value(use.Gpu, r, 0.01), value(use.Memory, r, 0.01)
	mem, r := d.GetMemoryInfo()
	out.MemoryUsed, out.MemoryTotal = value(mem.Used, r, 1), value(mem.Total, r, 1)
	power, r := d.GetPowerUsage()
	out.Power = value(power, r, 1e-3)
	limit, r := d.GetEnforcedPowerLimit()
	out.PowerLimit = value(limit, r, 1e-3)
	energy, r := d.GetTotalEnergyConsumption()
	out.Energy = value(energy, r, 1e-3)
	temperature, r := d.GetTemperature(nvml.TEMPERATURE_GPU)
	out.Temperature = value(temperature, r, 1)
	sm, r := d.GetClockInfo(nvml.CLOCK_SM)
	out.SMClock = value(sm, r, 1)
	clock, r := d.GetClockInfo(nvml.CLOCK_MEM)
	out.MemoryClock = value(clock, r, 1)
	reasons, r := d.GetCurrentClocksThrottleReasons()
	out.Throttle = value(reasons, r, 1)
	return out
}
