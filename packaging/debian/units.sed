# Makes the units of this package from those of provisioning/systemd.
# The package creates the user, so systemd need not.
/DynamicUser=/d
s|/opt/heptad/bin/heptad|/usr/bin/heptad|
