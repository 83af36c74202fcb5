"""The layers and the U-Net that denoisers are built of (Rodin, Sec. 3.2)."""
