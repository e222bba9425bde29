"""Small changes to the code that matters most: which ones do its tests not notice?"""
