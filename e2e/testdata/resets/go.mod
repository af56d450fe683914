module example.com/resets

go 1.26

require github.com/seed-1397b510/smarthost v0.0.0

replace github.com/seed-1397b510/smarthost => ../../..
